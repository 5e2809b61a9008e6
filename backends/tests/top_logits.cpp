// The largest of logits that are read from the standard input, 32-bit floats of this machine: prints the first of the
// largest, then the MOST largest.
//
// usage: top_logits MOST
#include "generate/top_logits.h"

#include <cstddef>
#include <cstdlib>
#include <iostream>
#include <vector>

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    std::vector<float> logits;
    float logit = 0;
    while (std::cin.read(reinterpret_cast<char *>(&logit), sizeof logit)) logits.push_back(logit);
    const auto n = static_cast<int32_t>(logits.size());
    std::cout << gpt4all::find_largest_logit(logits.data(), n) << '\n';
    std::vector<llama_token_data> top;
    gpt4all::find_top_logits(logits.data(), n, static_cast<std::size_t>(std::atoi(argv[1])), top);
    for (const llama_token_data &each : top) std::cout << each.id << '\n';
    return 0;
}
