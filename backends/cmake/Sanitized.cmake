# The shim under AddressSanitizer and UndefinedBehaviorSanitizer over the
# engine's usual objects, and programs that feed it hostile input. None of it is
# built by default; scripts/dev sanitize and scripts/dev fuzz ask for it by name.

if(WIN32 OR APPLE OR GPT4ALL_ALL_CPU_VARIANTS OR GPT4ALL_SANITIZE STREQUAL "thread")
  return()
endif()

if(GPT4ALL_SANITIZE)
  # All of it is sanitized already.
  set(GPT4ALL_SANITIZED_SHIM gpt4all-shim)
else()
  set(GPT4ALL_SANITIZED_SHIM gpt4all-shim-sanitized)
  gpt4all_add_common(gpt4all-common-sanitized)
  gpt4all_add_grammar(gpt4all-grammar-sanitized ${GPT4ALL_ENGINE_INCLUDES})
  set_target_properties(gpt4all-grammar-sanitized PROPERTIES EXPORT_COMPILE_COMMANDS OFF)
  gpt4all_add_shim(gpt4all-shim-sanitized gpt4all-common-sanitized gpt4all-grammar-sanitized)
  set_target_properties(gpt4all-shim-sanitized PROPERTIES
    EXCLUDE_FROM_ALL ON
    EXPORT_COMPILE_COMMANDS OFF # the same sources again
    LIBRARY_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/sanitized/${GPT4ALL_BACKEND}"
    # Not stripped, and with the shared C++ runtime, whose exceptions the sanitizer has to see.
    LINK_OPTIONS "LINKER:--gc-sections;LINKER:--exclude-libs,ALL;LINKER:--version-script=${CMAKE_CURRENT_SOURCE_DIR}/exports.map")
  target_compile_definitions(gpt4all-shim-sanitized PRIVATE GPT4ALL_SANITIZED)
  foreach(target gpt4all-common-sanitized gpt4all-grammar-sanitized gpt4all-shim-sanitized)
    target_compile_options(${target} PRIVATE -fsanitize=address,undefined -fno-omit-frame-pointer -O1 -g1)
    target_link_options(${target} PRIVATE -fsanitize=address,undefined)
  endforeach()
endif()

# With clang's fuzzer where the engine is built for it; else the programs run files once each.
if(GPT4ALL_SANITIZE STREQUAL "address" AND CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  set(GPT4ALL_FUZZER_SOURCES fuzz/fuzz.cpp)
  set(GPT4ALL_FUZZER_FLAGS -fsanitize=fuzzer)
else()
  set(GPT4ALL_FUZZER_SOURCES fuzz/fuzz.cpp fuzz/replay.cpp)
  set(GPT4ALL_FUZZER_FLAGS "")
endif()
add_custom_target(gpt4all-fuzz)
foreach(name answers chat generate grammar text)
  add_executable(fuzz-${name} EXCLUDE_FROM_ALL fuzz/fuzz_${name}.cpp ${GPT4ALL_FUZZER_SOURCES})
  target_include_directories(fuzz-${name} PRIVATE include)
  target_link_libraries(fuzz-${name} PRIVATE ${GPT4ALL_SANITIZED_SHIM})
  gpt4all_warn(fuzz-${name})
  if(NOT GPT4ALL_SANITIZE)
    target_compile_options(fuzz-${name} PRIVATE -fsanitize=address,undefined -O1 -g1)
  endif()
  # Without the usual options, which would hide the sanitizer's runtime from the library.
  set_target_properties(fuzz-${name} PROPERTIES LINK_OPTIONS "-fsanitize=address,undefined;${GPT4ALL_FUZZER_FLAGS}")
  # Beside the library, wherever that is.
  set_target_properties(fuzz-${name} PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY "$<TARGET_FILE_DIR:${GPT4ALL_SANITIZED_SHIM}>")
  add_dependencies(gpt4all-fuzz fuzz-${name})
endforeach()

# The grammar by itself, over a vocabulary that the program makes up.
gpt4all_add_grammar(gpt4all-grammar-listed "${CMAKE_CURRENT_SOURCE_DIR}/fuzz/listed")
set_target_properties(gpt4all-grammar-listed PROPERTIES EXPORT_COMPILE_COMMANDS OFF) # the same sources again
target_link_libraries(fuzz-grammar PRIVATE gpt4all-grammar-listed)
# The fuzzers' customary name for limits that an input of theirs can reach.
target_compile_definitions(gpt4all-grammar-listed PUBLIC FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION)
if(NOT GPT4ALL_SANITIZE)
  target_compile_options(gpt4all-grammar-listed PRIVATE -fsanitize=address,undefined -O1 -g1)
endif()
if(GPT4ALL_FUZZER_FLAGS)
  target_compile_options(gpt4all-grammar-listed PRIVATE -fsanitize=fuzzer-no-link)
  target_compile_options(fuzz-grammar PRIVATE -fsanitize=fuzzer-no-link)
endif()
