/* What an answer says, in the one form of calls that the fake knows:
 * <tool_call>{"name": ..., "arguments": {...}}</tool_call> after the text, and
 * thinking in <think> before it. Running out of memory ends the process. */
#ifndef GPT4ALL_FAKE_ANSWER_TEXT_H
#define GPT4ALL_FAKE_ANSWER_TEXT_H

#include "gpt4all_backend.h"

#ifdef __cplusplus
extern "C" {
#endif

void tell_answer(const char *text, int64_t length, int32_t thinks, int32_t is_partial, gpt4all_part_callback callback,
                 void *payload);

#ifdef __cplusplus
}
#endif

#endif
