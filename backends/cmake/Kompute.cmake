# The kompute backend: llama.cpp's Vulkan backend, which took the place of its
# Kompute one.

set(GGML_VULKAN ON CACHE BOOL "" FORCE)
set(GPT4ALL_GPU_TARGET ggml-vulkan)
