// What the engine can fail in, made to fail: linked between our sources and the engine's (cmake/Faults.cmake), so that
// tests can say which call of a function fails, and how.

#include "gpt4all_backend.h"

#include "ggml-backend.h"
#include "ggml.h"
#include "llama.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <stdexcept>

// What the tests call, kept in step with tests/support/abi/faults.py.
enum Fault : int32_t {
    COMPUTE_FAILS,     // before anything is computed
    COMPUTED_IN_VAIN,  // once all is, and memory is written
    COMPUTE_NO_MEMORY, // before anything is computed
    COMPUTE_ASSERTS,   // where ggml would end the process
    DECODE_NO_ROOM,    // the memory has no room for the batch
    DECODE_REFUSES,    // the batch
    ENCODE_FAILS,
    REMOVE_FAILS, // of positions
    SAVE_FAILS,   // of a sequence, as a copy
    LOAD_FAILS,   // of such a copy
    REMOVE_TOO_MUCH,
    N_FAULTS,
};

namespace {

std::atomic<int64_t> left[N_FAULTS];

// Counts a call; whether it is the one that fails.
bool hits(Fault fault) { return left[fault].load() > 0 && left[fault].fetch_sub(1) == 1; }

} // namespace

extern "C" {

// From now on the `nth` call that `fault` names fails, once; 0 is none. What was left of the last time: more than 0
// where nothing has failed.
GPT4ALL_API int64_t gpt4all_test_fail(int32_t fault, int64_t nth) { return left[fault].exchange(nth); }

// A callback that throws, with the library's own C++ runtime.
GPT4ALL_API int32_t gpt4all_test_throw(int32_t, const char *, int64_t, void *) { throw std::runtime_error("thrown"); }

enum ggml_status __real_ggml_backend_sched_graph_compute_async(ggml_backend_sched_t sched, struct ggml_cgraph *graph);
enum ggml_status __wrap_ggml_backend_sched_graph_compute_async(ggml_backend_sched_t sched, struct ggml_cgraph *graph) {
    if (hits(COMPUTE_FAILS)) return GGML_STATUS_FAILED;
    if (hits(COMPUTE_NO_MEMORY)) return GGML_STATUS_ALLOC_FAILED;
    if (hits(COMPUTE_ASSERTS)) GGML_ABORT("asked for by a test");
    const enum ggml_status status = __real_ggml_backend_sched_graph_compute_async(sched, graph);
    return hits(COMPUTED_IN_VAIN) ? GGML_STATUS_FAILED : status;
}

int32_t __real_llama_decode(struct llama_context *context, struct llama_batch batch);
int32_t __wrap_llama_decode(struct llama_context *context, struct llama_batch batch) {
    if (hits(DECODE_NO_ROOM)) return 1;
    if (hits(DECODE_REFUSES)) return -1;
    return __real_llama_decode(context, batch);
}

int32_t __real_llama_encode(struct llama_context *context, struct llama_batch batch);
int32_t __wrap_llama_encode(struct llama_context *context, struct llama_batch batch) {
    return hits(ENCODE_FAILS) ? -3 : __real_llama_encode(context, batch);
}

bool __real_llama_memory_seq_rm(llama_memory_t memory, llama_seq_id id, llama_pos first, llama_pos last);
bool __wrap_llama_memory_seq_rm(llama_memory_t memory, llama_seq_id id, llama_pos first, llama_pos last) {
    // Whole sequences can always go.
    const bool part = first > 0 || last >= 0;
    if (part && hits(REMOVE_FAILS)) return false;
    if (first > 2 && hits(REMOVE_TOO_MUCH)) first -= 2;
    return __real_llama_memory_seq_rm(memory, id, first, last);
}

std::size_t __real_llama_state_seq_get_data(struct llama_context *context, uint8_t *to, std::size_t size,
                                            llama_seq_id id);
std::size_t __wrap_llama_state_seq_get_data(struct llama_context *context, uint8_t *to, std::size_t size,
                                            llama_seq_id id) {
    return hits(SAVE_FAILS) ? 0 : __real_llama_state_seq_get_data(context, to, size, id);
}

std::size_t __real_llama_state_seq_get_data_ext(struct llama_context *context, uint8_t *to, std::size_t size,
                                                llama_seq_id id, llama_state_seq_flags flags);
std::size_t __wrap_llama_state_seq_get_data_ext(struct llama_context *context, uint8_t *to, std::size_t size,
                                                llama_seq_id id, llama_state_seq_flags flags) {
    return hits(SAVE_FAILS) ? 0 : __real_llama_state_seq_get_data_ext(context, to, size, id, flags);
}

std::size_t __real_llama_state_seq_set_data(struct llama_context *context, const uint8_t *from, std::size_t size,
                                            llama_seq_id id);
std::size_t __wrap_llama_state_seq_set_data(struct llama_context *context, const uint8_t *from, std::size_t size,
                                            llama_seq_id id) {
    return hits(LOAD_FAILS) ? 0 : __real_llama_state_seq_set_data(context, from, size, id);
}

std::size_t __real_llama_state_seq_set_data_ext(struct llama_context *context, const uint8_t *from, std::size_t size,
                                                llama_seq_id id, llama_state_seq_flags flags);
std::size_t __wrap_llama_state_seq_set_data_ext(struct llama_context *context, const uint8_t *from, std::size_t size,
                                                llama_seq_id id, llama_state_seq_flags flags) {
    return hits(LOAD_FAILS) ? 0 : __real_llama_state_seq_set_data_ext(context, from, size, id, flags);
}
}
