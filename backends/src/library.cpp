#include "library.h"

#include "guard.h"
#include "log.h"

#include "ggml-backend.h"
#include "ggml-cpu.h"
#include "llama.h"

#include <atomic>
#include <filesystem>
#include <mutex>
#include <string>
#include <vector>

#if !defined(_WIN32)
#include <dlfcn.h>
#else
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#endif

namespace gpt4all {
namespace {

namespace fs = std::filesystem;

std::atomic<bool> initialized{false};

#if defined(GPT4ALL_CPU_MODULES)

fs::path own_directory() {
#if defined(_WIN32)
    HMODULE module = nullptr;
    wchar_t buffer[32768];
    GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT,
                       reinterpret_cast<LPCWSTR>(&own_directory), &module);
    if (module == nullptr || GetModuleFileNameW(module, buffer, 32768) == 0) {
        throw Error(GPT4ALL_ERROR_INTERNAL, "the library cannot find its own directory");
    }
    return fs::path(buffer).parent_path();
#else
    Dl_info info;
    if (dladdr(reinterpret_cast<const void *>(&gpt4all_abi_version), &info) == 0 || info.dli_fname == nullptr) {
        throw Error(GPT4ALL_ERROR_INTERNAL, "the library cannot find its own directory");
    }
    return fs::absolute(info.dli_fname).parent_path();
#endif
}

bool is_cpu_module(const fs::path &path) {
    const std::string name = path.filename().string();
    const std::string extension = path.extension().string();
#if defined(_WIN32)
    return name.rfind("ggml-cpu", 0) == 0 && extension == ".dll";
#else
    return name.rfind("libggml-cpu", 0) == 0 && extension == ".so";
#endif
}

// How well a module suits this processor, 0 when it would not run on it. The
// handle stays open for the chosen module only.
class CpuModule {
public:
    explicit CpuModule(const fs::path &path) : path_(path) {
#if defined(_WIN32)
        handle_ = LoadLibraryW(path.c_str());
#else
        int flags = RTLD_NOW | RTLD_LOCAL;
#if defined(RTLD_DEEPBIND) && !defined(GPT4ALL_SANITIZED)
        // Another package may have put its own ggml into the global scope.
        flags |= RTLD_DEEPBIND;
#endif
        handle_ = dlopen(path.c_str(), flags);
        if (handle_ == nullptr) reason_ = dlerror();
#endif
    }
    ~CpuModule() {
        if (handle_ == nullptr) return;
#if defined(_WIN32)
        FreeLibrary(handle_);
#else
        dlclose(handle_);
#endif
    }
    CpuModule(const CpuModule &) = delete;
    CpuModule &operator=(const CpuModule &) = delete;

    int score() const {
        if (handle_ == nullptr) return 0;
#if defined(_WIN32)
        auto *function = reinterpret_cast<ggml_backend_score_t>(GetProcAddress(handle_, "ggml_backend_score"));
#else
        auto *function = reinterpret_cast<ggml_backend_score_t>(dlsym(handle_, "ggml_backend_score"));
#endif
        return function == nullptr ? 1 : function();
    }
    const fs::path &path() const { return path_; }
    const std::string &reason() const { return reason_; }

private:
    using ggml_backend_score_t = int (*)();
    fs::path path_;
    std::string reason_;
#if defined(_WIN32)
    HMODULE handle_ = nullptr;
#else
    void *handle_ = nullptr;
#endif
};

void load_cpu() {
    const fs::path directory = own_directory();
    std::unique_ptr<CpuModule> best;
    int best_score = 0;
    std::string failures;
    std::size_t found = 0;
    for (const auto &entry : fs::directory_iterator(directory)) {
        if (!is_cpu_module(entry.path())) continue;
        found++;
        auto module = std::make_unique<CpuModule>(entry.path());
        const int score = module->score();
        if (!module->reason().empty()) failures += "; " + module->reason();
        if (score > best_score) {
            best_score = score;
            best = std::move(module);
        }
    }
    if (best == nullptr) {
        throw Error(GPT4ALL_ERROR_UNSUPPORTED_CPU, "none of the " + std::to_string(found) + " CPU modules in " +
                                                       directory.u8string() + " runs on this processor" + failures);
    }
    ErrorCapture errors;
    if (ggml_backend_load(best->path().u8string().c_str()) == nullptr) {
        throw Error(GPT4ALL_ERROR_UNSUPPORTED_CPU, errors.text("the chosen CPU module could not be loaded"));
    }
}

#else

// A library built for the machine it was built on may meet a lesser one.
void load_cpu() {
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

void initialize() {
    install_log_hooks();
    load_cpu();
    llama_backend_init();
}

} // namespace

void require_initialized() {
    if (!initialized.load(std::memory_order_acquire)) {
        throw Error(GPT4ALL_ERROR_INVALID_ARGUMENT, "gpt4all_init has not been called");
    }
}

} // namespace gpt4all

int32_t gpt4all_abi_version(void) { return GPT4ALL_ABI_VERSION; }

const char *gpt4all_build_info(void) { return GPT4ALL_BUILD_INFO; }

gpt4all_status gpt4all_init(void) {
    return gpt4all::guarded([] {
        static std::mutex mutex;
        std::lock_guard lock(mutex);
        if (gpt4all::initialized.load(std::memory_order_acquire)) return;
        gpt4all::initialize();
        gpt4all::initialized.store(true, std::memory_order_release);
    });
}
