// The number of threads on machines that are reckoned, not run: prints for each computation a line with its number.
//
// usage: thread_counts MOST, with a line for each computation on the standard input: the seconds between it and the
// one before, then for 1, 2, … MOST threads the seconds that the computation takes and that the threads compute in it.
#include "engine/thread_count.h"

#include <cstddef>
#include <cstdlib>
#include <iostream>
#include <vector>

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    const int most = std::atoi(argv[1]);
    gpt4all::ThreadCount threads(most);
    const auto nanoseconds = [](double seconds) { return static_cast<int64_t>(1e9 * seconds); };
    int64_t now = 0;
    double pause = 0;
    while (std::cin >> pause) {
        std::vector<double> walls(static_cast<std::size_t>(most));
        std::vector<double> computing(walls.size());
        for (std::size_t i = 0; i < walls.size(); i++) std::cin >> walls[i] >> computing[i];
        now += nanoseconds(pause);
        const int32_t n = threads.next(now);
        if (n < 1 || n > most) return 1;
        const auto i = static_cast<std::size_t>(n) - 1;
        now += nanoseconds(walls[i]);
        threads.computed(now, nanoseconds(walls[i]), nanoseconds(computing[i]));
        std::cout << n << '\n';
    }
    return 0;
}
