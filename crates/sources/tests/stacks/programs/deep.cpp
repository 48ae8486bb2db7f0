// As deep.c, in C++: templates, a lambda, a virtual call and an exception on its way.
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <unistd.h>
#include <vector>

static volatile int sink;

__attribute__((noinline)) static void capture() {
    uint64_t registers[3];
    __asm__ volatile("leaq 0(%%rip), %0\n movq %%rsp, %1\n movq %%rbp, %2"
                     : "=&r"(registers[0]), "=&r"(registers[1]), "=&r"(registers[2]));
    if (write(1, registers, sizeof registers) < 0) _exit(1);
    if (write(1, reinterpret_cast<void *>(registers[1]), 1 << 16) < 0) _exit(1);
    for (;;) pause();
}

namespace shop {
struct Loader {
    virtual ~Loader() = default;
    virtual int load(int size) = 0;
};

template <typename T> struct Catalog : Loader {
    std::vector<T> items;
    __attribute__((noinline)) int load(int size) override {
        items.resize(static_cast<size_t>(size));
        auto grow = [this](int by) __attribute__((noinline)) {
            capture();
            return static_cast<int>(items.size()) + by;
        };
        return grow(size) + sink;
    }
};
} // namespace shop

int main() {
    std::unique_ptr<shop::Loader> loader = std::make_unique<shop::Catalog<double>>();
    try {
        throw std::runtime_error("x");
    } catch (const std::exception &) {
        return loader->load(3) + sink;
    }
}
