/*
 * Forced into ggml's CPU sources when GCC compiles them.
 *
 * GCC's _tile_loadconfig tells the optimiser that it reads 8 bytes of the 64
 * bytes of a tile configuration, so GCC 12 drops the stores to the rest, and
 * the first AMX instruction after it ends the process with SIGILL. This one
 * names all 64.
 */
#if defined(__AMX_TILE__) && defined(__GNUC__) && !defined(__clang__)
#include <immintrin.h>
#undef _tile_loadconfig
#define _tile_loadconfig(config) __asm__ volatile("ldtilecfg %0" : : "m"(*(const char (*)[64])(config)))
#endif
