# Flags that everything we ship is compiled with, llama.cpp included.

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
set(CMAKE_C_STANDARD 11)
set(CMAKE_CXX_STANDARD 17)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)

if(APPLE)
  set(CMAKE_INSTALL_RPATH "@loader_path")
  set(CMAKE_BUILD_RPATH "@loader_path")
  if(GPT4ALL_TARGET)
    # CMake asks the machine at hand which macOS it has, and without an answer takes it for one that knows no @rpath.
    set(CMAKE_SHARED_LIBRARY_RUNTIME_C_FLAG "-Wl,-rpath,")
    set(CMAKE_SHARED_LIBRARY_RUNTIME_CXX_FLAG "-Wl,-rpath,")
  endif()
elseif(UNIX)
  set(CMAKE_INSTALL_RPATH "$ORIGIN")
  set(CMAKE_BUILD_RPATH "$ORIGIN")
endif()
set(CMAKE_BUILD_WITH_INSTALL_RPATH ON)

if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # A GNU-unique symbol is one per process even between libraries loaded
  # apart, which would join our llama.cpp to another package's.
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fno-gnu-unique>)
endif()

if(NOT MSVC)
  # Assertions carry file names: without the builder's directories two builds
  # of the same source are equal, and libraries tell nothing about the machine.
  set(options
      "-ffile-prefix-map=${LLAMA_CPP_SOURCE_DIR}/=llama.cpp/"
      "-ffile-prefix-map=${CMAKE_CURRENT_SOURCE_DIR}/=backends/")
  if(GPT4ALL_TARGET OR GPT4ALL_BACKEND STREQUAL "cuda")
    # ccache makes names relative to where the compiler runs; a wheel has to be the same with and without it.
    list(APPEND options "-ffile-prefix-map=../llama.cpp/=llama.cpp/" "-ffile-prefix-map=../backends/=backends/")
  endif()
  foreach(option IN LISTS options)
    add_compile_options(
      "$<$<NOT:$<COMPILE_LANGUAGE:CUDA>>:${option}>"
      "$<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=${option}>")
  endforeach()
endif()

if(UNIX)
  add_compile_options(
    "$<$<COMPILE_LANGUAGE:C,CXX>:-ffunction-sections>"
    "$<$<COMPILE_LANGUAGE:C,CXX>:-fdata-sections>")
endif()
if(UNIX AND NOT APPLE)
  add_link_options(LINKER:--gc-sections LINKER:-z,noexecstack LINKER:--no-undefined-version)
  if(NOT GPT4ALL_TARGET)
    add_link_options(LINKER:--exclude-libs,ALL)
  endif()
  if(NOT GPT4ALL_SANITIZE)
    add_link_options(LINKER:--no-undefined)
    if(NOT GPT4ALL_TARGET)
      # The C++ runtime travels inside, so that a program's own never has to fit; the cross compiler knows no other way.
      add_link_options(-static-libstdc++ -static-libgcc)
    endif()
    if(CMAKE_BUILD_TYPE STREQUAL "Release")
      add_link_options(LINKER:--strip-all)
    endif()
  endif()
endif()
if(GPT4ALL_TARGET AND NOT CMAKE_SYSTEM_NAME STREQUAL "Linux")
  # Without this the cross compiler's linkers also keep what nobody uses, on Windows 3 MB of a wheel.
  add_link_options(-s)
endif()

if(GPT4ALL_SANITIZE)
  if(NOT GPT4ALL_SANITIZE MATCHES "^(address|thread|undefined)$")
    message(FATAL_ERROR "GPT4ALL_SANITIZE must be address, thread or undefined, not '${GPT4ALL_SANITIZE}'")
  endif()
  set(GPT4ALL_SANITIZE_FLAGS "-fsanitize=${GPT4ALL_SANITIZE}")
  if(GPT4ALL_SANITIZE STREQUAL "address")
    # Both at once: they get along, and one pass then covers two kinds of error.
    set(GPT4ALL_SANITIZE_FLAGS "-fsanitize=address,undefined")
  endif()
  add_compile_options(${GPT4ALL_SANITIZE_FLAGS} -fno-omit-frame-pointer -g)
  add_link_options(${GPT4ALL_SANITIZE_FLAGS})
endif()

find_program(GPT4ALL_CCACHE ccache)
if(GPT4ALL_CCACHE)
  set(CMAKE_C_COMPILER_LAUNCHER "${GPT4ALL_CCACHE}")
  set(CMAKE_CXX_COMPILER_LAUNCHER "${GPT4ALL_CCACHE}")
  set(CMAKE_CUDA_COMPILER_LAUNCHER "${GPT4ALL_CCACHE}")
endif()
