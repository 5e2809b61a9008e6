# The cuda backend. Its runtime and cuBLAS stay shared libraries: they weigh
# hundreds of megabytes, and NVIDIA ships them as wheels of their own.

set(GGML_CUDA ON CACHE BOOL "" FORCE)
# llama.cpp turns graphs on for the ggml that it adds itself; here ggml comes first.
set(GGML_CUDA_GRAPHS ON CACHE BOOL "" FORCE)
# Without it the library needs no libcuda to be loaded, so that it is there to
# say which driver is missing.
set(GGML_CUDA_NO_VMM ON CACHE BOOL "" FORCE)
set(GGML_CUDA_NCCL OFF CACHE BOOL "" FORCE)
set(CMAKE_CUDA_VISIBILITY_PRESET hidden)
set(CMAKE_CUDA_STANDARD 17)
set(GPT4ALL_GPU_TARGET ggml-cuda)
