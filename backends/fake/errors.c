/* Messages of failures, and structs of other sizes than ours. */
#include "fake.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { LARGEST_STRUCT = 4096 };

static _Thread_local char last_message[1024];

__attribute__((format(printf, 2, 3))) gpt4all_status fail(gpt4all_status status, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(last_message, sizeof last_message, format, args);
    va_end(args);
    return status;
}

void forget_error(void) { last_message[0] = '\0'; }

gpt4all_status null_argument(const char *name) {
    return fail(GPT4ALL_ERROR_INVALID_ARGUMENT, "%s must not be NULL", name);
}

gpt4all_status out_of_memory(void) { return fail(GPT4ALL_ERROR_OUT_OF_MEMORY, "out of memory"); }

/* Structs of other sizes than ours */

static uint32_t size_of_given(const void *given) {
    uint32_t size;
    memcpy(&size, given, sizeof size);
    return size;
}

gpt4all_status check_struct(const void *given, size_t known, const char *name) {
    if (given == NULL) return null_argument(name);
    uint32_t size = size_of_given(given);
    if (size < sizeof size)
        return fail(GPT4ALL_ERROR_INVALID_ARGUMENT, "%s->struct_size is %u; call the init function first", name,
                    (unsigned)size);
    for (size_t i = known; i < size; i++)
        if (((const unsigned char *)given)[i] != 0)
            return fail(GPT4ALL_ERROR_INVALID_ARGUMENT,
                        "%s is %u bytes long, of which this library knows %zu, and byte %zu is not zero", name,
                        (unsigned)size, known, i);
    return GPT4ALL_OK;
}

static size_t common_size(const void *given, size_t known) {
    size_t size = size_of_given(given);
    return size < known ? size : known;
}

gpt4all_status read_struct(void *ours, size_t known, const void *given, const char *name) {
    gpt4all_status status = check_struct(given, known, name);
    if (status == GPT4ALL_OK) memcpy(ours, given, common_size(given, known));
    return status;
}

void write_struct(void *given, const void *ours, size_t known) {
    uint32_t size = size_of_given(given);
    memcpy(given, ours, common_size(given, known));
    memcpy(given, &size, sizeof size);
}

gpt4all_status init_struct(void *given, uint64_t size, const void *defaults, size_t known, const char *name) {
    forget_error();
    if (given == NULL) return null_argument(name);
    if (size < sizeof(uint32_t) || size > LARGEST_STRUCT)
        return fail(GPT4ALL_ERROR_INVALID_ARGUMENT, "size %llu is no struct's size", (unsigned long long)size);
    uint32_t struct_size = (uint32_t)size;
    memset(given, 0, struct_size);
    memcpy(given, defaults, struct_size < known ? struct_size : known);
    memcpy(given, &struct_size, sizeof struct_size);
    return GPT4ALL_OK;
}

const char *gpt4all_last_error(void) { return last_message; }
