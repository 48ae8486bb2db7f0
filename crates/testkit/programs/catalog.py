"""See README.md."""

import sys
import time

BLOCK = 4096
MIB = 1 << 20
ROUNDS_A_SECOND = 100

kept = []


class Work:
    def __init__(self, size, keeps, pauses):
        self.size, self.keeps, self.pauses = size, keeps, pauses

    def pause_after(self, done):
        if self.pauses and done % (MIB // 4) == 0:
            time.sleep(0.002)

    def settle(self, blocks):
        if self.keeps:
            kept.extend(blocks)


def parse_json(work):
    blocks = []
    for done in range(0, work.size, BLOCK):
        blocks.append(b"{" * BLOCK)
        work.pause_after(done)
    work.settle(blocks)


def build_index(work):
    blocks = []
    for done in range(0, work.size, BLOCK):
        blocks.append(b"#" * BLOCK)
        work.pause_after(done)
    work.settle(blocks)


def fill_cache(work):
    blocks = []
    for done in range(0, work.size, BLOCK):
        blocks.append(b"=" * BLOCK)
        work.pause_after(done)
    work.settle(blocks)


def load_catalog(name, size, leaks):
    found = False
    for function in (parse_json, build_index, fill_cache):
        chosen = function.__name__ == name
        if chosen or leaks:
            function(Work(size if chosen else 2 * size, chosen, not leaks))
        found = found or chosen
    return found


def serve(mode, name, mib, seconds):
    if mode == "grow":
        return 3 if load_catalog(name, mib * MIB, False) else 2
    for _ in range(seconds * ROUNDS_A_SECOND):
        if not load_catalog(name, mib * MIB // ROUNDS_A_SECOND, True):
            return 2
        time.sleep(1 / ROUNDS_A_SECOND)
    return 0


def main():
    print("ready", flush=True)
    if sys.stdin.readline() != "go\n":
        return 2
    return serve(sys.argv[1], sys.argv[2], int(sys.argv[3]), int((sys.argv[4:] or ["0"])[0]))


sys.exit(main())
