/*
 * fail_malloc.c - preloaded, makes one allocation of a call fail
 *
 *     cc -shared -fPIC -D_GNU_SOURCE -I ../include fail_malloc.c -o fail_malloc.so
 */
#include "gpt4all_backend.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef gpt4all_status embed_function(gpt4all_model *, const int32_t *, const int32_t *, int64_t,
                                      const gpt4all_embed_options *, float *, int64_t, gpt4all_embed_callback, void *);

typedef gpt4all_status set_threads_function(gpt4all_model *, int32_t, int32_t);

extern void *__libc_malloc(size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

/* Allocations of this thread until the one that fails; 0 is never. Not of others: a C library that finds no memory for
 * a thread's own variables ends the process. */
static _Thread_local long left;

/* Whether a thread has had an allocation, and whether its first one fails now. */
static _Thread_local int has_begun;
static atomic_int refuse_beginners;
static atomic_int refuse_mappings;

/* The same for all threads but the one that asked. */
static _Thread_local int has_asked;
static atomic_long left_elsewhere;

static int refused(void) {
    if (left_elsewhere > 0 && !has_asked && atomic_fetch_sub(&left_elsewhere, 1) == 1) return 1;
    if ((left > 0 && --left == 0) || (refuse_beginners && !has_begun)) return 1;
    has_begun = 1;
    return 0;
}

void *malloc(size_t size) {
    if (refused()) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_malloc(size);
}

int posix_memalign(void **memory, size_t alignment, size_t size) {
    if (refused()) return ENOMEM;
    *memory = __libc_memalign(alignment, size);
    return *memory == NULL ? ENOMEM : 0;
}

/* Of the library's own: those of the C library do not come here. */
void *mmap(void *address, size_t size, int protection, int flags, int file, off_t offset) {
    if (refuse_mappings) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return (void *)syscall(SYS_mmap, address, size, protection, flags, file, offset);
}

void set_refuse_beginners(int yes) { refuse_beginners = yes; }

/* Runs `embed` with its allocation `nth` failing; -1: all of threads that begin, and all mappings. `*failed` is 0 where
 * it had fewer. */
gpt4all_status embed_without(long nth, int *failed, embed_function *embed, gpt4all_model *model, const int32_t *tokens,
                             const int32_t *lengths, int64_t n_texts, const gpt4all_embed_options *options,
                             float *vectors, int64_t capacity) {
    left = nth;
    refuse_beginners = refuse_mappings = nth < 0;
    const gpt4all_status status = embed(model, tokens, lengths, n_texts, options, vectors, capacity, NULL, NULL);
    *failed = nth > 0 && left == 0;
    refuse_beginners = refuse_mappings = 0;
    left = 0;
    return status;
}

/* The same for gpt4all_model_set_threads. */
gpt4all_status set_threads_without(long nth, int *failed, set_threads_function *set_threads, gpt4all_model *model,
                                   int32_t n_threads) {
    left = nth;
    const gpt4all_status status = set_threads(model, n_threads, n_threads);
    *failed = left == 0;
    left = 0;
    return status;
}

/* From now on the allocation `nth` of the other threads fails; 0 is none. What was left of the last time. */
long refuse_elsewhere(long nth) {
    has_asked = 1;
    return atomic_exchange(&left_elsewhere, nth);
}
