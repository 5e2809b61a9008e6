#include "engine/start.h"

#include "base/guard.h"
#include "base/log.h"
#include "engine/cpu_modules.h"
#include "engine/thread_pool.h"
#include "engine/vulkan_devices.h"

#include "ggml-backend.h"
#include "ggml-cpu.h"
#include "llama.h"

#include <atomic>
#include <mutex>
#include <string>

namespace gpt4all {
namespace {

std::atomic<bool> initialized{false};

// Written once, before `initialized`.
std::string cpu_module;

std::string with_instruction_sets(std::string name) {
    ggml_backend_reg_t cpu = ggml_backend_reg_by_name("CPU");
    if (cpu == nullptr) return name;
    void *function = ggml_backend_reg_get_proc_address(cpu, "ggml_backend_get_features");
    if (function == nullptr) return name;
    name += ":";
    auto features = reinterpret_cast<ggml_backend_get_features_t>(function)(cpu);
    for (; features->name != nullptr; features++) {
        const std::string value = features->value;
        if (value == "0") continue;
        name += std::string(" ") + features->name + (value == "1" ? "" : "=" + value);
    }
    return name;
}

#if !defined(GPT4ALL_CPU_MODULES)

// A library built for the machine it was built on may meet a lesser one. Never compiled by zig, whose
// __builtin_cpu_supports() always says no: wheels have modules.
void check_cpu() {
#if defined(__x86_64__) && defined(__GNUC__)
    struct Feature {
        const char *name;
        bool built;
        bool present;
    };
    const Feature features[] = {
        {"SSE4.2", ggml_cpu_has_sse3() != 0 && ggml_cpu_has_ssse3() != 0, __builtin_cpu_supports("sse4.2") != 0},
        {"AVX", ggml_cpu_has_avx() != 0, __builtin_cpu_supports("avx") != 0},
        {"AVX2", ggml_cpu_has_avx2() != 0, __builtin_cpu_supports("avx2") != 0},
        {"FMA", ggml_cpu_has_fma() != 0, __builtin_cpu_supports("fma") != 0},
        {"BMI2", ggml_cpu_has_bmi2() != 0, __builtin_cpu_supports("bmi2") != 0},
        {"AVX-512", ggml_cpu_has_avx512() != 0, __builtin_cpu_supports("avx512f") != 0},
        {"AVX-512 VBMI", ggml_cpu_has_avx512_vbmi() != 0, __builtin_cpu_supports("avx512vbmi") != 0},
        {"AVX-512 VNNI", ggml_cpu_has_avx512_vnni() != 0, __builtin_cpu_supports("avx512vnni") != 0},
        {"AVX-512 BF16", ggml_cpu_has_avx512_bf16() != 0, __builtin_cpu_supports("avx512bf16") != 0},
    };
    std::string missing;
    for (const Feature &feature : features) {
        if (feature.built && !feature.present) missing += (missing.empty() ? "" : ", ") + std::string(feature.name);
    }
    if (!missing.empty()) {
        throw Error(GPT4ALL_ERROR_UNSUPPORTED_CPU,
                    "this library was built for the machine it was built on (--native), and this processor lacks " +
                        missing + "; build it here, or with --variants all");
    }
#endif
}

#endif

void prepare() {
    install_log_hooks();
    // Where ggml is linked in, its first use below registers its backends.
    const VisibleVulkanDevices visible;
#if defined(GPT4ALL_CPU_MODULES)
    const std::string module = load_modules();
#else
    check_cpu();
    const std::string module = "built-in";
#endif
    hook_computations();
    llama_backend_init();
    cpu_module = with_instruction_sets(module);
}

} // namespace

void start_engine() {
    static std::mutex mutex;
    std::lock_guard lock(mutex);
    if (initialized.load(std::memory_order_acquire)) return;
    prepare();
    initialized.store(true, std::memory_order_release);
}

const char *cpu_info() noexcept { return initialized.load(std::memory_order_acquire) ? cpu_module.c_str() : ""; }

void require_initialized() {
    if (!initialized.load(std::memory_order_acquire)) {
        throw Error(GPT4ALL_ERROR_INVALID_ARGUMENT, "gpt4all_init has not been called");
    }
}

} // namespace gpt4all
