# The metal backend. Its kernels travel inside the library as source, which the
# system compiles for the GPU at hand; no file has to be found at run time.

set(GGML_METAL ON CACHE BOOL "" FORCE)
set(GGML_METAL_EMBED_LIBRARY ON CACHE BOOL "" FORCE)
set(GPT4ALL_GPU_TARGET ggml-metal)
