/* Following CPython's frames in the memory of the current process. Where things lie in its objects depends on its version: user space has
 * worked that out while the process lived. A read that fails, because the page is not in memory, ends the walk or leaves a text out. */
#ifndef OOMSCOPE_PYTHON_H
#define OOMSCOPE_PYTHON_H

enum {
	PYTHON_FRAMES = 40,
	PYTHON_THREADS = 128,
	PYTHON_NAME = 96,
	PYTHON_FILE = 192,
	PYTHON_LINE_TABLE = 512,
	/* Instead of an offset: there is no such field. */
	PYTHON_NONE = 0xffffffff,
	/* Owners from here on stand before the first frame that the interpreter's C function runs (FRAME_OWNED_BY_CSTACK). */
	PYTHON_SENTINEL = 3,
};

enum python_entry {
	PYTHON_ENTRY_ALWAYS = 0,
	PYTHON_ENTRY_FLAG = 1,
	PYTHON_ENTRY_OWNER = 2,
};

/* Offsets in bytes, named as in the Rust type Offsets, where they are explained. */
struct python_layout {
	/* Address of the pointer to the first interpreter. */
	__u64 interpreters;
	__u32 interpreter_next;
	__u32 interpreter_threads;
	__u32 thread_next;
	__u32 thread_id;
	__u32 thread_frame;
	__u32 cframe_frame;
	__u32 frame_previous;
	__u32 frame_code;
	__u32 frame_instruction;
	__u32 frame_entry;
	__u32 frame_entry_kind;
	__u32 code_file;
	__u32 code_name;
	__u32 code_first_line;
	__u32 code_line_table;
	__u32 string_length;
	__u32 string_state;
	__u32 string_ascii;
	__u32 string_other;
	__u32 bytes_size;
	__u32 bytes_data;
	__u32 padding;
};

/* A string's head, and behind it in the frame the beginning of its characters. Length 0 where it could not be read. */
struct python_text {
	__u64 length;
	__u32 state;
	__u32 padding;
};

struct python_frame {
	__u64 code;
	/* 8 bytes as they stand in the frame; of releases with an index the lower 4 count. */
	__u64 instruction;
	__u32 first_line;
	/* The interpreter's C function began with this frame. */
	__u8 is_entry;
	/* No function's frame: the one before it in the list is such an entry. The rest is not filled. */
	__u8 is_sentinel;
	__u8 padding[2];
	struct python_text name;
	struct python_text file;
	__u64 line_table_bytes;
	__u8 name_data[PYTHON_NAME];
	__u8 file_data[PYTHON_FILE];
	__u8 line_table[PYTHON_LINE_TABLE];
};

/* Innermost first. */
struct python {
	__u64 at_ns;
	__u32 pid;
	__u32 tid;
	__u64 count;
	struct python_frame frames[PYTHON_FRAMES];
};

#ifdef __BPF__

inlined __u64 read_word(__u64 object, __u32 offset)
{
	__u64 word = 0;
	bpf_probe_read_user(&word, sizeof(word), (void *)(object + offset));
	return word;
}

inlined __u32 read_half(__u64 object, __u32 offset)
{
	__u32 half = 0;
	bpf_probe_read_user(&half, sizeof(half), (void *)(object + offset));
	return half;
}

inlined __u8 read_byte(__u64 object, __u32 offset)
{
	__u8 byte = 0;
	bpf_probe_read_user(&byte, sizeof(byte), (void *)(object + offset));
	return byte;
}

/* The state of the thread whose own storage is there: that is what CPython calls its id. 0 where there is none. */
inlined __u64 python_thread(const struct python_layout *layout, __u64 tls_base)
{
	__u64 interpreter = read_word(layout->interpreters, 0);
	__u64 thread = interpreter ? read_word(interpreter, layout->interpreter_threads) : 0;
	for (__u32 i = 0; i < PYTHON_THREADS && interpreter; i++) {
		if (!thread) {
			interpreter = read_word(interpreter, layout->interpreter_next);
			thread = interpreter ? read_word(interpreter, layout->interpreter_threads) : 0;
			continue;
		}
		if (read_word(thread, layout->thread_id) == tls_base)
			return thread;
		thread = read_word(thread, layout->thread_next);
	}
	return 0;
}

inlined __u64 python_innermost(const struct python_layout *layout, __u64 thread)
{
	__u64 frame = read_word(thread, layout->thread_frame);
	if (frame && layout->cframe_frame != PYTHON_NONE)
		frame = read_word(frame, layout->cframe_frame);
	return frame;
}

inlined void read_text(struct python_text *text, __u8 *data, __u64 size, const struct python_layout *layout, __u64 string)
{
	__u64 bytes;
	text->state = string ? read_half(string, layout->string_state) : 0;
	text->length = string ? read_word(string, layout->string_length) : 0;
	/* One, two or four bytes for each character (Include/cpython/unicodeobject.h). */
	bytes = text->length * (text->state >> 2 & 7);
	if (text->length > size || bytes > size)
		bytes = size;
	/* Of the state, the bit `ascii`. */
	string += text->state & 1 << 6 ? layout->string_ascii : layout->string_other;
	if (bpf_probe_read_user(data, bytes, (void *)string))
		text->length = 0;
}

inlined void read_frame(struct python_frame *to, const struct python_layout *layout, __u64 frame, __u64 code)
{
	__u64 table = read_word(code, layout->code_line_table);
	__u64 bytes = table ? read_word(table, layout->bytes_size) : 0;
	if (bytes > PYTHON_LINE_TABLE)
		bytes = PYTHON_LINE_TABLE;
	if (bpf_probe_read_user(to->line_table, bytes, (void *)(table + layout->bytes_data)))
		bytes = 0;
	to->line_table_bytes = bytes;
	to->code = code;
	to->instruction = read_word(frame, layout->frame_instruction);
	to->first_line = read_half(code, layout->code_first_line);
	to->is_entry = layout->frame_entry_kind == PYTHON_ENTRY_ALWAYS ||
		       (layout->frame_entry_kind == PYTHON_ENTRY_FLAG && read_byte(frame, layout->frame_entry) == 1);
	read_text(&to->name, to->name_data, PYTHON_NAME, layout, read_word(code, layout->code_name));
	read_text(&to->file, to->file_data, PYTHON_FILE, layout, read_word(code, layout->code_file));
}

/* Each step has its own place: the verifier, which follows every turn, would otherwise look at each number of steps with each number of
 * frames found. */
inlined void read_frames(struct python *to, const struct python_layout *layout, __u64 frame)
{
	__u64 count = 0;
	for (__u32 i = 0; i < PYTHON_FRAMES && frame; i++) {
		struct python_frame *into = &to->frames[i];
		into->is_sentinel = layout->frame_entry_kind == PYTHON_ENTRY_OWNER &&
				    read_byte(frame, layout->frame_entry) >= PYTHON_SENTINEL;
		/* Objects are aligned to 8 bytes; newer releases put tags into the free bits. */
		if (!into->is_sentinel)
			read_frame(into, layout, frame, read_word(frame, layout->frame_code) & ~7ULL);
		frame = read_word(frame, layout->frame_previous);
		count = i + 1;
	}
	to->count = count;
}

#endif
#endif
