# The shim once more, with tests/faults.cpp between our sources and the engine's: tests ask for it by name.

if(WIN32 OR APPLE OR GPT4ALL_ALL_CPU_VARIANTS)
  return()
endif()

add_library(gpt4all-faults SHARED EXCLUDE_FROM_ALL
  tests/faults.cpp $<TARGET_OBJECTS:gpt4all-shim> ${GPT4ALL_BERT_OBJECTS})
target_include_directories(gpt4all-faults PRIVATE include)
target_link_libraries(gpt4all-faults PRIVATE gpt4all-grammar gpt4all-common llama ggml ${CMAKE_DL_LIBS})
foreach(function
    ggml_backend_sched_graph_compute_async
    llama_decode
    llama_encode
    llama_memory_seq_rm
    llama_state_seq_get_data
    llama_state_seq_get_data_ext
    llama_state_seq_set_data
    llama_state_seq_set_data_ext)
  target_link_options(gpt4all-faults PRIVATE "LINKER:--wrap=${function}")
endforeach()
target_link_options(gpt4all-faults PRIVATE "LINKER:--version-script=${CMAKE_CURRENT_SOURCE_DIR}/exports.map")
gpt4all_warn(gpt4all-faults)
# A folder that GPT4ALL_BACKEND_PATH takes.
set_target_properties(gpt4all-faults PROPERTIES
  PREFIX lib OUTPUT_NAME "gpt4all-${GPT4ALL_BACKEND}"
  LINK_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/exports.map"
  LIBRARY_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/faults/${GPT4ALL_BACKEND}")
