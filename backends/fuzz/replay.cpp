// Runs a fuzz program's inputs once each, for compilers without a fuzzer and
// for tests: every argument is a file.
#include "fuzz.h"

#include <cstdio>
#include <fstream>
#include <iterator>

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        std::ifstream file(argv[i], std::ios::binary);
        if (!file) {
            std::fprintf(stderr, "cannot read %s\n", argv[i]);
            return 2;
        }
        const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
        // In memory of its own, so that reading past the end is seen.
        const std::vector<uint8_t> input(bytes.begin(), bytes.end());
        LLVMFuzzerTestOneInput(input.data(), input.size());
    }
    std::printf("%d inputs, nothing found\n", argc - 1);
    return 0;
}
