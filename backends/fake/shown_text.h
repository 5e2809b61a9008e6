/* The text stream of the real library, for C: whole characters, and nothing
 * that may turn out to be a stop text. Running out of memory ends the process. */
#ifndef GPT4ALL_FAKE_SHOWN_TEXT_H
#define GPT4ALL_FAKE_SHOWN_TEXT_H

#include "gpt4all_backend.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct shown_text shown_text;

shown_text *shown_text_new(const gpt4all_string *stops, int64_t n_stops);
void shown_text_free(shown_text *text);

/* True when a stop text is complete. */
bool shown_text_feed(shown_text *text, const char *data, size_t length);

/* Shows all that was held back. Whether there is something to show. */
bool shown_text_finish(shown_text *text);

/* What may be shown, valid until the next call. */
const char *shown_text_take(shown_text *text, int64_t *length);

#ifdef __cplusplus
}
#endif

#endif
