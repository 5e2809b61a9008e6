#include "engine/cpu_modules.h"

#include "base/guard.h"
#include "base/log.h"

#include "ggml-backend.h"

#include <filesystem>
#include <memory>
#include <string>

#if !defined(_WIN32)
#include <dlfcn.h>
#else
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#endif

namespace gpt4all {
namespace {

namespace fs = std::filesystem;

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
    const std::string name = path.filename().u8string();
    const std::string extension = path.extension().u8string();
#if defined(_WIN32)
    return name.rfind("ggml-cpu", 0) == 0 && extension == ".dll";
#else
    return name.rfind("libggml-cpu", 0) == 0 && extension == ".so";
#endif
}

std::string variant(const fs::path &path) {
    const std::string name = path.stem().u8string();
    const std::size_t at = name.find("ggml-cpu-");
    return at == std::string::npos ? name : name.substr(at + std::string("ggml-cpu-").size());
}

// A module's library, open as long as this lives.
class Module {
public:
    explicit Module(const fs::path &path) : path_(path) {
#if defined(_WIN32)
        handle_ = LoadLibraryW(path.c_str());
        if (handle_ == nullptr) reason_ = path.u8string() + ": error " + std::to_string(GetLastError());
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
    ~Module() {
        if (handle_ == nullptr) return;
#if defined(_WIN32)
        FreeLibrary(handle_);
#else
        dlclose(handle_);
#endif
    }
    Module(const Module &) = delete;
    Module &operator=(const Module &) = delete;

    bool is_open() const { return handle_ != nullptr; }

    // How well a CPU module suits this processor, 0 when it would not run on it.
    int score() const {
        if (handle_ == nullptr) return 0;
        auto *function = find<int (*)()>("ggml_backend_score");
        return function == nullptr ? 1 : function();
    }

    // Makes its devices known to the engine, and stays open for good. Whether it has any; a GPU's may have none.
    // Not ggml_backend_load(), which on Windows reads a path in the system's code page, and so finds few of them.
    bool register_devices() {
        auto *init = find<ggml_backend_reg_t (*)()>("ggml_backend_init");
        ggml_backend_reg_t devices = init == nullptr ? nullptr : init();
        if (devices == nullptr) return false;
        ggml_backend_register(devices);
        handle_ = nullptr;
        return true;
    }
    const fs::path &path() const { return path_; }
    const std::string &reason() const { return reason_; }

private:
    template <typename Function> Function find(const char *name) const {
#if defined(_WIN32)
        return reinterpret_cast<Function>(GetProcAddress(handle_, name));
#else
        return reinterpret_cast<Function>(dlsym(handle_, name));
#endif
    }

    fs::path path_;
    std::string reason_;
#if defined(_WIN32)
    HMODULE handle_ = nullptr;
#else
    void *handle_ = nullptr;
#endif
};

std::string load_cpu(const fs::path &directory) {
    std::unique_ptr<Module> best;
    int best_score = 0;
    std::string failures;
    std::size_t found = 0;
    for (const auto &entry : fs::directory_iterator(directory)) {
        if (!is_cpu_module(entry.path())) continue;
        found++;
        auto module = std::make_unique<Module>(entry.path());
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
    if (!best->register_devices()) {
        throw Error(GPT4ALL_ERROR_UNSUPPORTED_CPU, errors.text("the chosen CPU module could not be loaded"));
    }
    return variant(best->path());
}

void load_gpu(const fs::path &directory) {
    const std::string name = GPT4ALL_GPU_MODULE;
    if (name.empty()) return;
#if defined(_WIN32)
    const fs::path path = directory / (name + ".dll");
#else
    const fs::path path = directory / ("lib" + name + ".so");
#endif
    Module module(path);
    if (!module.is_open()) throw Error(GPT4ALL_ERROR_INTERNAL, module.reason());
    // Nothing comes of it where the driver has no device; that is for the
    // caller to see from the list of devices.
    module.register_devices();
}

} // namespace

std::string load_modules() {
    const fs::path directory = own_directory();
    load_gpu(directory);
    return load_cpu(directory);
}

} // namespace gpt4all
