# Adds llama.cpp: ggml as shared libraries named after the backend (its CPU
# modules need something to link to), llama as a static library.

if(NOT EXISTS "${LLAMA_CPP_SOURCE_DIR}/include/llama.h")
  message(FATAL_ERROR "LLAMA_CPP_SOURCE_DIR='${LLAMA_CPP_SOURCE_DIR}' holds no llama.cpp; "
                      "build_backends.sh fetches and names the pinned one")
endif()

# The commit is what the lock file pins, unless the builder says that the tree is another one.
if(NOT LLAMA_CPP_COMMIT)
  file(STRINGS "${CMAKE_CURRENT_SOURCE_DIR}/llama_cpp.lock" LLAMA_CPP_COMMIT REGEX "^commit = ")
  string(REGEX REPLACE "^commit = \"(.*)\"$" "\\1" LLAMA_CPP_COMMIT "${LLAMA_CPP_COMMIT}")
endif()
# Left to themselves, both would ask git about whatever repository lies around the source tree.
set(LLAMA_BUILD_COMMIT "${LLAMA_CPP_COMMIT}")
set(LLAMA_BUILD_NUMBER 0)
set(GIT_EXE "" CACHE FILEPATH "" FORCE)

set(GGML_CCACHE OFF CACHE BOOL "" FORCE) # the launcher is set for all sources alike
set(GGML_OPENMP OFF CACHE BOOL "")       # ggml's own pool needs no runtime library; see docs in README
# Warnings about code that is not ours would bury those that are.
set(GGML_ALL_WARNINGS OFF CACHE BOOL "" FORCE)
set(LLAMA_ALL_WARNINGS OFF CACHE BOOL "" FORCE)
set(GGML_BUILD_TESTS OFF CACHE BOOL "" FORCE)
set(GGML_BUILD_EXAMPLES OFF CACHE BOOL "" FORCE)
set(GGML_LLAMAFILE ON CACHE BOOL "" FORCE)
set(GGML_CUDA OFF CACHE BOOL "" FORCE)
set(GGML_VULKAN OFF CACHE BOOL "" FORCE)
set(GGML_METAL OFF CACHE BOOL "" FORCE)
set(GGML_BLAS OFF CACHE BOOL "" FORCE)
set(GPT4ALL_GPU_TARGET "")
if(GPT4ALL_BACKEND STREQUAL "kompute")
  include(Kompute)
elseif(GPT4ALL_BACKEND STREQUAL "cuda")
  include(Cuda)
elseif(GPT4ALL_BACKEND STREQUAL "metal")
  include(Metal)
endif()
if(GPT4ALL_ALL_CPU_VARIANTS)
  set(GGML_NATIVE OFF CACHE BOOL "" FORCE)
  set(GGML_BACKEND_DL ON CACHE BOOL "" FORCE)
  set(GGML_CPU_ALL_VARIANTS ON CACHE BOOL "" FORCE)
else()
  set(GGML_NATIVE ON CACHE BOOL "" FORCE)
  set(GGML_BACKEND_DL OFF CACHE BOOL "" FORCE)
  set(GGML_CPU_ALL_VARIANTS OFF CACHE BOOL "" FORCE)
endif()

# Programs and their library are configured but not built by default: tests
# and benchmarks ask for llama-completion and llama-bench by name.
set(LLAMA_BUILD_COMMON ON CACHE BOOL "" FORCE)
set(LLAMA_BUILD_TOOLS ON CACHE BOOL "" FORCE)
set(LLAMA_BUILD_TESTS OFF CACHE BOOL "" FORCE)
set(LLAMA_BUILD_EXAMPLES OFF CACHE BOOL "" FORCE)
set(LLAMA_BUILD_SERVER OFF CACHE BOOL "" FORCE)
set(LLAMA_BUILD_APP OFF CACHE BOOL "" FORCE)
set(LLAMA_OPENSSL OFF CACHE BOOL "" FORCE)

# With modules, ggml must be shared; without, one library holds everything.
set(BUILD_SHARED_LIBS ${GPT4ALL_ALL_CPU_VARIANTS})
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")
add_subdirectory("${LLAMA_CPP_SOURCE_DIR}/ggml" ggml EXCLUDE_FROM_ALL)

set(BUILD_SHARED_LIBS OFF)
add_subdirectory("${LLAMA_CPP_SOURCE_DIR}" llama EXCLUDE_FROM_ALL)

# Exports only what the map names, and binds a library's use of its own
# functions at link time, whatever else is loaded into the process.
function(gpt4all_limit_exports target map)
  if(UNIX AND NOT APPLE)
    set(map "${CMAKE_CURRENT_SOURCE_DIR}/${map}")
    target_link_options(${target} PRIVATE "LINKER:--version-script=${map}" LINKER:-Bsymbolic)
    set_target_properties(${target} PROPERTIES LINK_DEPENDS "${map}")
  endif()
endfunction()

if(GPT4ALL_GPU_TARGET)
  # Assertions carry the names of headers, which ccache would shorten: a wheel has to be the same with and without it.
  get_target_property(directories ${GPT4ALL_GPU_TARGET} INCLUDE_DIRECTORIES)
  set(plain "")
  foreach(directory IN LISTS directories)
    cmake_path(NORMAL_PATH directory)
    list(APPEND plain "${directory}")
  endforeach()
  set_property(TARGET ${GPT4ALL_GPU_TARGET} PROPERTY INCLUDE_DIRECTORIES "${plain}")
endif()

if(GPT4ALL_BACKEND STREQUAL "kompute")
  # Without the Vulkan loader, which is opened when it is wanted.
  foreach(property LINK_LIBRARIES INTERFACE_LINK_LIBRARIES)
    get_target_property(libraries ggml-vulkan ${property})
    if(libraries)
      list(FILTER libraries EXCLUDE REGEX "Vulkan::Vulkan")
      set_property(TARGET ggml-vulkan PROPERTY ${property} ${libraries})
    endif()
  endforeach()
  target_include_directories(ggml-vulkan SYSTEM PRIVATE "${Vulkan_INCLUDE_DIR}")
  target_sources(ggml-vulkan PRIVATE "${CMAKE_CURRENT_SOURCE_DIR}/src/engine/vulkan_functions.c")
  target_link_libraries(ggml-vulkan PRIVATE ${CMAKE_DL_LIBS})
endif()

set(GPT4ALL_GGML_TARGETS "")
if(GPT4ALL_ALL_CPU_VARIANTS)
  foreach(target ggml ggml-base)
    set_target_properties(${target} PROPERTIES OUTPUT_NAME "gpt4all-${GPT4ALL_BACKEND}-${target}")
    set_property(TARGET ${target} PROPERTY VERSION)
    set_property(TARGET ${target} PROPERTY SOVERSION)
    gpt4all_limit_exports(${target} exports_engine.map)
    list(APPEND GPT4ALL_GGML_TARGETS ${target})
  endforeach()
  foreach(target ${GGML_AVAILABLE_BACKENDS})
    set_property(TARGET ${target} PROPERTY VERSION)
    set_property(TARGET ${target} PROPERTY SOVERSION)
    if(WIN32)
      set_target_properties(${target} PROPERTIES PREFIX "") # what ggml looks for, whatever the compiler's custom
    endif()
    if(APPLE AND GPT4ALL_TARGET)
      # The cross compiler makes a library of a bundle, and calls it by the place where it was built.
      target_link_options(${target} PRIVATE "SHELL:-install_name @rpath/$<TARGET_FILE_NAME:${target}>")
    endif()
    gpt4all_limit_exports(${target} exports_module.map)
    list(APPEND GPT4ALL_GGML_TARGETS ${target})
  endforeach()
endif()

get_directory_property(GPT4ALL_CPU_TARGETS DIRECTORY "${LLAMA_CPP_SOURCE_DIR}/ggml/src" BUILDSYSTEM_TARGETS)
list(FILTER GPT4ALL_CPU_TARGETS INCLUDE REGEX "^ggml-cpu")
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  foreach(target ${GPT4ALL_CPU_TARGETS})
    target_compile_options(${target} PRIVATE
      "$<$<COMPILE_LANGUAGE:CXX>:SHELL:-include \"${CMAKE_CURRENT_SOURCE_DIR}/cmake/amx_tile_config.h\">")
  endforeach()
endif()
