# The entry library: our sources and llama.cpp behind the C ABI, nothing else exported.

# What is used of llama.cpp's common library; all of it would take minutes to build.
set(GPT4ALL_COMMON_SOURCES
  chat-auto-parser-generator.cpp
  chat-auto-parser-helpers.cpp
  chat-diff-analyzer.cpp
  chat-peg-parser.cpp
  chat.cpp
  jinja/caps.cpp
  jinja/lexer.cpp
  jinja/parser.cpp
  jinja/runtime.cpp
  jinja/string.cpp
  jinja/value.cpp
  json-schema-to-grammar.cpp
  json-schema.cpp
  json.cpp
  parsers/cohere2moe.cpp
  parsers/deepseek.cpp
  parsers/functionary-v3-2.cpp
  parsers/gemma4.cpp
  parsers/gigachat-v3.cpp
  parsers/gpt-oss.cpp
  parsers/kimi-k2.cpp
  parsers/kimi-k3.cpp
  parsers/lfm2.cpp
  parsers/ling3.cpp
  parsers/minicpm5.cpp
  parsers/minimax-m3.cpp
  parsers/ministral3.cpp
  parsers/muse-glimmer.cpp
  parsers/parsers.cpp
  parsers/qwen3-coder.cpp
  peg-parser.cpp
  trie.cpp
  unicode.cpp)
list(TRANSFORM GPT4ALL_COMMON_SOURCES PREPEND "${LLAMA_CPP_SOURCE_DIR}/common/")
function(gpt4all_add_common target)
  add_library(${target} STATIC EXCLUDE_FROM_ALL ${GPT4ALL_COMMON_SOURCES})
  target_include_directories(${target} SYSTEM PUBLIC "${LLAMA_CPP_SOURCE_DIR}/common" "${LLAMA_CPP_SOURCE_DIR}/vendor")
  target_link_libraries(${target} PRIVATE llama ggml vendor::nlohmann)
  # The parser asserts what the kinds of expressions are: a broken template would end the process.
  target_compile_definitions(${target} PRIVATE NDEBUG)
endfunction()

# Needs no more of the engine than the vocabulary's texts, so a fuzzer links it
# over a list of texts; `ARGN` are the folders that have a llama.h for it.
function(gpt4all_add_grammar target)
  add_library(${target} STATIC EXCLUDE_FROM_ALL
    src/grammar/character_class.cpp
    src/grammar/check.cpp
    src/grammar/constraint.cpp
    src/grammar/grammar_vocabulary.cpp
    src/grammar/matcher.cpp
    src/grammar/reader.cpp
    src/grammar/splice.cpp
    src/tokens/vocabulary.cpp)
  target_include_directories(${target} PUBLIC include src)
  target_include_directories(${target} SYSTEM PUBLIC ${ARGN})
  gpt4all_warn(${target})
endfunction()

set(GPT4ALL_SHIM_SOURCES
  src/api/chat.cpp
  src/api/devices.cpp
  src/api/embeddings.cpp
  src/api/generation.cpp
  src/api/grammars.cpp
  src/api/handle.cpp
  src/api/library.cpp
  src/api/models.cpp
  src/api/text.cpp
  src/base/guard.cpp
  src/base/log.cpp
  src/base/processor.cpp
  src/base/waiting.cpp
  src/chat/answer_format.cpp
  src/chat/answer_reader.cpp
  src/chat/common_support.cpp
  src/chat/messages.cpp
  src/chat/sandbox/nesting.cpp
  src/chat/sandbox/scope.cpp
  src/chat/template.cpp
  src/chat/tools.cpp
  src/embed/bert/dispatch.cpp
  src/embed/bert/encoder.cpp
  src/embed/bert/team.cpp
  src/embed/embedder.cpp
  src/embed/lane.cpp
  src/embed/plan.cpp
  src/engine/memory_need.cpp
  src/engine/placement.cpp
  src/engine/start.cpp
  src/engine/thread_count.cpp
  src/engine/thread_pool.cpp
  src/generate/logprobs.cpp
  src/generate/options.cpp
  src/generate/prefix_cache.cpp
  src/generate/request.cpp
  src/generate/sampler.cpp
  src/generate/scheduler.cpp
  src/generate/sequence.cpp
  src/generate/text_stream.cpp
  src/generate/top_logits.cpp
  src/model/facts.cpp
  src/model/load_options.cpp
  src/model/memory.cpp
  src/model/model.cpp
  src/tokens/marks.cpp
  src/tokens/part_tokenizer.cpp
  src/tokens/tokenizer.cpp)

# BERT's arithmetic, compiled once for every kind of processor that is told
# apart at run time; other compilers leave it to the engine.
set(GPT4ALL_BERT_OBJECTS "")
function(gpt4all_add_bert_kernels name vector_bytes)
  add_library(gpt4all-bert-${name} OBJECT src/embed/bert/kernels.cpp)
  target_include_directories(gpt4all-bert-${name} PRIVATE src)
  set_target_properties(gpt4all-bert-${name} PROPERTIES POSITION_INDEPENDENT_CODE ON EXPORT_COMPILE_COMMANDS ON)
  target_compile_definitions(gpt4all-bert-${name} PRIVATE
    GPT4ALL_KERNELS=bert_kernels_${name} GPT4ALL_VECTOR=${vector_bytes})
  # Rounding that is not seen, and no traps: what lets loops become vectors.
  target_compile_options(gpt4all-bert-${name} PRIVATE
    -O3 -ffp-contract=fast -fno-math-errno -fno-trapping-math -Wall -Wextra ${ARGN})
  set(GPT4ALL_BERT_OBJECTS ${GPT4ALL_BERT_OBJECTS} $<TARGET_OBJECTS:gpt4all-bert-${name}> PARENT_SCOPE)
endfunction()
set(GPT4ALL_BERT_DEFINITION "")
if(NOT MSVC AND CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  gpt4all_add_bert_kernels(avx2 32 -mavx2 -mfma)
  set(avx512 -mavx512f -mavx512dq -mavx512bw -mavx512vl -mfma -mprefer-vector-width=512)
  gpt4all_add_bert_kernels(avx512 64 ${avx512})
  gpt4all_add_bert_kernels(avx512bf16 64 ${avx512} -mavx512bf16)
  set(GPT4ALL_BERT_DEFINITION GPT4ALL_X86_KERNELS)
elseif(NOT MSVC AND CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64|ARM64)$")
  gpt4all_add_bert_kernels(neon 16)
  set(GPT4ALL_BERT_DEFINITION GPT4ALL_NEON_KERNELS)
endif()

function(gpt4all_add_shim target common grammar)
  add_library(${target} SHARED ${GPT4ALL_SHIM_SOURCES} ${GPT4ALL_BERT_OBJECTS})
  set_target_properties(${target} PROPERTIES PREFIX lib OUTPUT_NAME "gpt4all-${GPT4ALL_BACKEND}")
  target_include_directories(${target} PRIVATE include src)
  target_link_libraries(${target} PRIVATE ${grammar} ${common} llama ggml)
  # As system headers: warnings are for our own files.
  target_include_directories(${target} SYSTEM PRIVATE
    "${LLAMA_CPP_SOURCE_DIR}/src" ${GPT4ALL_ENGINE_INCLUDES})
  target_compile_definitions(${target} PRIVATE
    "GPT4ALL_BUILD_INFO=\"${GPT4ALL_BACKEND} llama.cpp ${LLAMA_CPP_COMMIT}\"" ${GPT4ALL_BERT_DEFINITION})
  if(GPT4ALL_ALL_CPU_VARIANTS)
    target_sources(${target} PRIVATE src/engine/cpu_modules.cpp)
    target_compile_definitions(${target} PRIVATE GPT4ALL_CPU_MODULES "GPT4ALL_GPU_MODULE=\"${GPT4ALL_GPU_TARGET}\"")
  endif()
  if(GPT4ALL_BACKEND STREQUAL "kompute")
    target_sources(${target} PRIVATE src/engine/vulkan_devices.cpp)
    target_include_directories(${target} SYSTEM PRIVATE "${Vulkan_INCLUDE_DIR}")
    target_compile_definitions(${target} PRIVATE GPT4ALL_VULKAN)
  endif()
  gpt4all_warn(${target})
  if(UNIX AND NOT APPLE)
    target_link_options(${target} PRIVATE "LINKER:--version-script=${CMAKE_CURRENT_SOURCE_DIR}/exports.map")
    set_target_properties(${target} PROPERTIES LINK_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/exports.map")
    target_link_libraries(${target} PRIVATE ${CMAKE_DL_LIBS})
  endif()
endfunction()

# The compile commands are what scripts/check compiles with warnings as errors.
function(gpt4all_warn target)
  set_target_properties(${target} PROPERTIES EXPORT_COMPILE_COMMANDS ON)
  if(MSVC)
    target_compile_options(${target} PRIVATE /W4)
  else()
    target_compile_options(${target} PRIVATE -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion)
  endif()
endfunction()

gpt4all_add_common(gpt4all-common)
set(GPT4ALL_ENGINE_INCLUDES
  "$<TARGET_PROPERTY:llama,INTERFACE_INCLUDE_DIRECTORIES>"
  "$<TARGET_PROPERTY:ggml,INTERFACE_INCLUDE_DIRECTORIES>")
gpt4all_add_grammar(gpt4all-grammar ${GPT4ALL_ENGINE_INCLUDES})
gpt4all_add_shim(gpt4all-shim gpt4all-common gpt4all-grammar)
if(GPT4ALL_SANITIZE)
  target_compile_definitions(gpt4all-shim PRIVATE GPT4ALL_SANITIZED)
endif()

include(Sanitized)
include(Faults)

install(TARGETS gpt4all-shim ${GPT4ALL_GGML_TARGETS}
  LIBRARY DESTINATION .
  RUNTIME DESTINATION .)

# Programs are for this machine alone. What the toolkits' libraries want of
# others, or of a newer C library, is there at run time, from elsewhere.
if(UNIX AND NOT APPLE)
  foreach(program llama-bench llama-completion)
    target_link_options(${program} PRIVATE LINKER:--allow-shlib-undefined)
  endforeach()
endif()
