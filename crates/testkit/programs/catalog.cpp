// See README.md. Names as C++ programs have them: namespaces, a template, members.
#include <chrono>
#include <iostream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#define ALONE [[gnu::noinline]]

namespace shop {

constexpr std::size_t block_size = 4096, mib = 1 << 20, rounds_a_second = 100;

struct Work {
    std::size_t bytes;
    bool keeps;
    bool pauses;
};

template <typename Item>
class Catalog {
    using Block = std::vector<Item>;
    using Blocks = std::vector<Block>;
    Blocks kept;

    void settle(const Work &work, Blocks &&blocks) {
        if (work.keeps)
            for (auto &block : blocks)
                kept.push_back(std::move(block));
    }

    static void pause_after(const Work &work, std::size_t done) {
        if (work.pauses && done % (mib / 4) == 0)
            std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }

    // What each writes differs, or a compiler would make one of the three.
    ALONE void parse_json(const Work &work) {
        Blocks blocks;
        for (std::size_t done = 0; done < work.bytes; done += block_size, pause_after(work, done))
            blocks.emplace_back(block_size, Item('{'));
        settle(work, std::move(blocks));
    }

    ALONE void build_index(const Work &work) {
        Blocks blocks;
        for (std::size_t done = 0; done < work.bytes; done += block_size, pause_after(work, done))
            blocks.emplace_back(block_size, Item('#'));
        settle(work, std::move(blocks));
    }

    ALONE void fill_cache(const Work &work) {
        Blocks blocks;
        for (std::size_t done = 0; done < work.bytes; done += block_size, pause_after(work, done))
            blocks.emplace_back(block_size, Item('='));
        settle(work, std::move(blocks));
    }

public:
    ALONE bool load_catalog(const std::string &name, std::size_t bytes, bool leaks) {
        bool found = false;
        const std::pair<const char *, void (Catalog::*)(const Work &)> functions[] = {
            {"parse_json", &Catalog::parse_json},
            {"build_index", &Catalog::build_index},
            {"fill_cache", &Catalog::fill_cache},
        };
        for (const auto &[called, run] : functions) {
            const bool chosen = name == called;
            if (chosen || leaks)
                (this->*run)(Work{chosen ? bytes : 2 * bytes, chosen, !leaks});
            found |= chosen;
        }
        return found;
    }
};

ALONE int serve(const std::string &mode, const std::string &name, std::size_t amount, long seconds) {
    Catalog<char> catalog;
    if (mode == "grow")
        return catalog.load_catalog(name, amount * mib, false) ? 3 : 2;
    for (std::size_t round = 0; round < seconds * rounds_a_second; round++) {
        if (!catalog.load_catalog(name, amount * mib / rounds_a_second, true))
            return 2;
        std::this_thread::sleep_for(std::chrono::milliseconds(1000 / rounds_a_second));
    }
    return 0;
}

} // namespace shop

int main(int argc, char **argv) {
    std::string go;
    if (argc < 4)
        return 2;
    std::cout << "ready" << std::endl;
    if (!std::getline(std::cin, go) || go != "go")
        return 2;
    return shop::serve(argv[1], argv[2], std::stoul(argv[3]), argc > 4 ? std::stol(argv[4]) : 0);
}
