/*
 * The script of a model: what it would say, how long that takes, and what fails.
 *
 * It stands in the model file after the last line that reads
 * `#!gpt4all-fake`; whatever is before it (a GGUF header that satisfies a
 * preflight check, say) is skipped. One directive a line; an empty line or one
 * that begins with # is a comment. TEXT goes from the one space after the
 * directive to the end of the line, outer spaces included, and knows \n, \r,
 * \t, \\ and \xHH. Numbers are decimal.
 *
 * Model facts
 *     architecture TEXT, name TEXT, description TEXT, quantization TEXT, chat_template TEXT
 *     n_ctx_train N, n_embd N, n_layer N, n_params N, weights_bytes N
 *     context_bytes N     for each token of the context; default 1024
 *     compute_bytes N     of work buffers on every device with layers; default 4096
 *     n_vocab N           at least the tokens there are, which is also the default
 *     add_bos 0|1         default 1
 *     traits WORD...      of: encoder decoder recurrent embedding diffusion can_shift;
 *                         default: decoder can_shift
 *     control TEXT        one more control token, known to PARSE_SPECIAL
 *
 * What is generated, one line after the other
 *     piece TEXT          one token; its bytes may end inside a UTF-8 character
 *     text TEXT           one token per byte, the ids that tokenising TEXT gives
 *     echo                the prompt's tokens, control tokens left out
 *     end                 the end-of-generation token
 *     turn                what follows is for the next generate call; the last turn
 *                         serves all later calls
 * Every call starts at its turn's first line. A turn without `end` is repeated
 * until something else stops it; an empty turn is the end token alone.
 *
 * Time and gates
 *     delay_us N                 before each token
 *     prompt_delay_us N          before each batch of the prompt
 *     wait_cancel_after N        with N tokens delivered, wait for the cancel flag
 *     wait_cancel_in_prompt N    before batch N of the prompt (from 0), wait for it
 * All of them look at the cancel flag every millisecond or more often. A wait
 * first logs "waiting for the cancel flag" (level debug), so that a test knows
 * when it is there; a flag that nobody sets within a minute fails the call.
 *
 * Embeddings, of models with the trait `embedding`
 *     pooling N, wordpiece N     as in gpt4all_model_info; default 1 and 0
 *     basename TEXT
 *     batch_texts N              texts computed at once, longest first; default 2
 *     embed_delay_us N           before each batch
 *     wait_cancel_in_batch N     before batch N (from 0), wait for the cancel flag
 *     fail_embed N STATUS TEXT   with N batches computed
 * A vector of n_embd numbers depends on its text's tokens and on nothing else.
 *
 * Failures and noise
 *     fail_load STATUS TEXT      STATUS is a name without GPT4ALL_ERROR_, as OUT_OF_MEMORY
 *     fail_at N STATUS TEXT      with N tokens delivered
 *     progress_steps N           the load reports 0/N, 1/N ... N/N; default 4, 0 is silence
 *     log LEVEL TEXT             one line while loading; debug, info, warning or error
 *     log_calls 1                load, set_threads and generate log their arguments
 *                                (level debug)
 *
 * Chats take the form that chat.c describes, whatever the template.
 *
 * Grammars are only looked at for a rule named root, and biases for sense; both
 * are logged. Log-probabilities are made up: 1/2 for the token of the script.
 *
 * Tokens: 0 is <|begin|>, 1 is <|end|>, 2 is <|unk|>, 3 to 258 are the bytes;
 * then come `piece` and `control` lines in the order of the script. Tokenising
 * gives bytes, and control tokens with PARSE_SPECIAL.
 */
#include "fake.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Words and numbers */

typedef struct named_value {
    const char *name;
    int32_t value;
} named_value;

static const named_value status_names[] = {
    {"INTERNAL", GPT4ALL_ERROR_INTERNAL},
    {"INVALID_ARGUMENT", GPT4ALL_ERROR_INVALID_ARGUMENT},
    {"OUT_OF_MEMORY", GPT4ALL_ERROR_OUT_OF_MEMORY},
    {"MODEL_LOAD", GPT4ALL_ERROR_MODEL_LOAD},
    {"UNSUPPORTED_MODEL", GPT4ALL_ERROR_UNSUPPORTED_MODEL},
    {"CONTEXT_OVERFLOW", GPT4ALL_ERROR_CONTEXT_OVERFLOW},
    {"DECODE", GPT4ALL_ERROR_DECODE},
    {"CANCELLED", GPT4ALL_ERROR_CANCELLED},
    {"BUSY", GPT4ALL_ERROR_BUSY},
    {"UNSUPPORTED_CPU", GPT4ALL_ERROR_UNSUPPORTED_CPU},
    {"BUFFER_TOO_SMALL", GPT4ALL_ERROR_BUFFER_TOO_SMALL},
    {"TEMPLATE", GPT4ALL_ERROR_TEMPLATE},
    {"INVALID_MODEL", GPT4ALL_ERROR_INVALID_MODEL},
    {NULL, 0},
};

static const named_value trait_names[] = {
    {"encoder", GPT4ALL_TRAIT_ENCODER},
    {"decoder", GPT4ALL_TRAIT_DECODER},
    {"recurrent", GPT4ALL_TRAIT_RECURRENT},
    {"embedding", GPT4ALL_TRAIT_EMBEDDING},
    {"diffusion", GPT4ALL_TRAIT_DIFFUSION},
    {"can_shift", GPT4ALL_TRAIT_CAN_SHIFT},
    {NULL, 0},
};

static const named_value level_names[] = {
    {"debug", GPT4ALL_LOG_DEBUG},
    {"info", GPT4ALL_LOG_INFO},
    {"warning", GPT4ALL_LOG_WARNING},
    {"error", GPT4ALL_LOG_ERROR},
    {NULL, 0},
};

static bool look_up(const named_value *table, const char *name, int32_t *value) {
    for (; table->name != NULL; table++)
        if (strcmp(table->name, name) == 0) {
            *value = table->value;
            return true;
        }
    return false;
}

static const struct {
    const char *name;
    size_t offset;
    int64_t lowest, highest;
} number_directives[] = {
    {"n_ctx_train", offsetof(gpt4all_model, n_ctx_train), SMALLEST_CONTEXT, INT32_MAX},
    {"n_vocab", offsetof(gpt4all_model, n_vocab), 1, INT32_MAX},
    {"n_embd", offsetof(gpt4all_model, n_embd), 1, INT32_MAX},
    {"n_layer", offsetof(gpt4all_model, n_layer), 1, INT32_MAX},
    {"n_params", offsetof(gpt4all_model, n_params), 0, INT64_MAX},
    {"weights_bytes", offsetof(gpt4all_model, weights_bytes), 0, INT64_MAX},
    {"context_bytes", offsetof(gpt4all_model, context_bytes), 0, INT32_MAX},
    {"compute_bytes", offsetof(gpt4all_model, compute_bytes), 0, INT32_MAX},
    {"add_bos", offsetof(gpt4all_model, add_bos), 0, 1},
    {"delay_us", offsetof(gpt4all_model, delay_us), 0, INT32_MAX},
    {"prompt_delay_us", offsetof(gpt4all_model, prompt_delay_us), 0, INT32_MAX},
    {"wait_cancel_after", offsetof(gpt4all_model, wait_cancel_after), 0, INT32_MAX},
    {"wait_cancel_in_prompt", offsetof(gpt4all_model, wait_cancel_in_prompt), 0, INT32_MAX},
    {"pooling", offsetof(gpt4all_model, pooling), 0, GPT4ALL_POOLING_RANK},
    {"wordpiece", offsetof(gpt4all_model, wordpiece), 0, 7},
    {"batch_texts", offsetof(gpt4all_model, batch_texts), 1, 256},
    {"embed_delay_us", offsetof(gpt4all_model, embed_delay_us), 0, INT32_MAX},
    {"wait_cancel_in_batch", offsetof(gpt4all_model, wait_cancel_in_batch), 0, INT32_MAX},
    {"progress_steps", offsetof(gpt4all_model, progress_steps), 0, 1000},
    {"log_calls", offsetof(gpt4all_model, log_calls), 0, 1},
};

static const struct {
    const char *name;
    size_t offset;
} text_directives[] = {
    {"architecture", offsetof(gpt4all_model, architecture)},   {"name", offsetof(gpt4all_model, name)},
    {"description", offsetof(gpt4all_model, description)},     {"quantization", offsetof(gpt4all_model, quantization)},
    {"chat_template", offsetof(gpt4all_model, chat_template)}, {"basename", offsetof(gpt4all_model, basename)},
};

static bool parse_number(const char *text, int64_t lowest, int64_t highest, int64_t *value) {
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || number < lowest || number > highest) return false;
    *value = number;
    return true;
}

static int hex_digit(char c) {
    const char *digits = "0123456789abcdef", *found;
    if (c >= 'A' && c <= 'F') c = (char)(c - 'A' + 'a');
    found = c == '\0' ? NULL : strchr(digits, c);
    return found == NULL ? -1 : (int)(found - digits);
}

/* Replaces escapes where they stand; the text only gets shorter. */
static bool unescape(char *text, size_t *length) {
    size_t to = 0;
    for (size_t from = 0; from < *length; from++) {
        char c = text[from];
        if (c == '\\') {
            c = ++from < *length ? text[from] : '\0';
            if (c == 'n')
                c = '\n';
            else if (c == 'r')
                c = '\r';
            else if (c == 't')
                c = '\t';
            else if (c == 'x' && from + 2 < *length) {
                int high = hex_digit(text[from + 1]), low = hex_digit(text[from + 2]);
                if (high < 0 || low < 0) return false;
                c = (char)(high * 16 + low);
                from += 2;
            } else if (c != '\\')
                return false;
        }
        text[to++] = c;
    }
    text[to] = '\0';
    *length = to;
    return true;
}

/* Directives */

/* Makes room for one more in an array that grows by doubling from 16. NULL
 * leaves the array as it is. */
static void *grown(void *array, size_t used, size_t item_size) {
    bool full = used == 0 || (used >= 16 && (used & (used - 1)) == 0);
    return full ? realloc(array, (used == 0 ? 16 : 2 * used) * item_size) : array;
}

static bool add_step(gpt4all_model *model, int32_t step) {
    int32_t *steps = grown(model->steps, model->n_steps, sizeof *steps);
    if (steps == NULL) return false;
    model->steps = steps;
    model->steps[model->n_steps++] = step;
    return true;
}

static bool add_token(gpt4all_model *model, text_view text, bool control) {
    scripted_token *tokens = grown(model->tokens, model->n_tokens, sizeof *tokens);
    if (tokens == NULL) return false;
    model->tokens = tokens;
    model->tokens[model->n_tokens++] = (scripted_token){text, control};
    return true;
}

static gpt4all_status bad_script(const char *path, const char *key, const char *why) {
    return fail(GPT4ALL_ERROR_MODEL_LOAD, "%s: directive '%s' %s", path, key, why);
}

/* Splits the first word off `text`; what follows one space is the rest. */
static char *split_word(bytes *text) {
    char *word = text->data, *space = memchr(text->data, ' ', text->length);
    size_t length = space == NULL ? text->length : (size_t)(space - word);
    word[length] = '\0';
    size_t skipped = space == NULL ? length : length + 1;
    text->data += skipped;
    text->length -= skipped;
    return word;
}

static bool parse_traits(gpt4all_model *model, bytes rest) {
    model->traits = 0;
    while (rest.length > 0) {
        int32_t trait;
        char *word = split_word(&rest);
        if (*word == '\0') continue;
        if (!look_up(trait_names, word, &trait)) return false;
        model->traits |= trait;
    }
    return true;
}

static bool parse_failure(scripted_failure *failure, bytes rest, bool with_position) {
    failure->at = 0;
    if (with_position && !parse_number(split_word(&rest), 0, INT32_MAX, &failure->at)) return false;
    if (!look_up(status_names, split_word(&rest), &failure->status)) return false;
    failure->message = rest.data;
    return unescape(rest.data, &rest.length);
}

static gpt4all_status parse_tokens(gpt4all_model *model, const char *path, const char *key, bytes rest) {
    bool room = true;
    if (!unescape(rest.data, &rest.length)) return bad_script(path, key, "has a broken escape");
    if (strcmp(key, "text") == 0) {
        for (size_t i = 0; i < rest.length && room; i++)
            room = add_step(model, TOKEN_FIRST_BYTE + (unsigned char)rest.data[i]);
    } else {
        bool control = strcmp(key, "control") == 0;
        if (control && rest.length == 0) return bad_script(path, key, "needs a text");
        if (!control) room = add_step(model, TOKEN_FIRST_SCRIPTED + (int32_t)model->n_tokens);
        room = room && add_token(model, (text_view){rest.data, rest.length}, control);
    }
    return room ? GPT4ALL_OK : out_of_memory();
}

static gpt4all_status parse_log(const char *path, bytes rest) {
    int32_t level;
    if (!look_up(level_names, split_word(&rest), &level)) return bad_script(path, "log", "names no level");
    if (!unescape(rest.data, &rest.length)) return bad_script(path, "log", "has a broken escape");
    log_bytes(level, rest.data, rest.length);
    return GPT4ALL_OK;
}

/* Numbers and texts, whose place in the model a table names. */
static bool parse_fact(gpt4all_model *model, const char *key, bytes rest, bool *valid) {
    for (size_t i = 0; i < sizeof number_directives / sizeof number_directives[0]; i++)
        if (strcmp(key, number_directives[i].name) == 0) {
            int64_t *number = (int64_t *)((char *)model + number_directives[i].offset);
            *valid = parse_number(rest.data, number_directives[i].lowest, number_directives[i].highest, number);
            return true;
        }
    for (size_t i = 0; i < sizeof text_directives / sizeof text_directives[0]; i++)
        if (strcmp(key, text_directives[i].name) == 0) {
            *(char **)((char *)model + text_directives[i].offset) = rest.data;
            *valid = unescape(rest.data, &rest.length);
            return true;
        }
    return false;
}

static gpt4all_status parse_line(gpt4all_model *model, const char *path, bytes line) {
    if (line.length == 0 || line.data[0] == '#') return GPT4ALL_OK;
    bytes rest = line;
    const char *key = split_word(&rest);
    bool valid = true;
    if (parse_fact(model, key, rest, &valid)) return valid ? GPT4ALL_OK : bad_script(path, key, "has a bad value");
    if (strcmp(key, "piece") == 0 || strcmp(key, "text") == 0 || strcmp(key, "control") == 0)
        return parse_tokens(model, path, key, rest);
    if (strcmp(key, "end") == 0) return add_step(model, TOKEN_END) ? GPT4ALL_OK : out_of_memory();
    if (strcmp(key, "echo") == 0) return add_step(model, STEP_ECHO) ? GPT4ALL_OK : out_of_memory();
    if (strcmp(key, "turn") == 0) return add_step(model, STEP_TURN) ? GPT4ALL_OK : out_of_memory();
    if (strcmp(key, "log") == 0) return parse_log(path, rest);
    if (strcmp(key, "traits") == 0)
        valid = parse_traits(model, rest);
    else if (strcmp(key, "fail_load") == 0)
        valid = parse_failure(&model->load_failure, rest, false);
    else if (strcmp(key, "fail_at") == 0)
        valid = parse_failure(&model->generate_failure, rest, true);
    else if (strcmp(key, "fail_embed") == 0)
        valid = parse_failure(&model->embed_failure, rest, true);
    else
        return bad_script(path, key, "is unknown");
    return valid ? GPT4ALL_OK : bad_script(path, key, "has a bad value");
}

static char *find_script(const bytes *file) {
    static const char marker[] = "#!gpt4all-fake\n";
    const size_t length = sizeof marker - 1;
    for (size_t at = file->length >= length ? file->length - length + 1 : 0; at-- > 0;)
        if (memcmp(file->data + at, marker, length) == 0 && (at == 0 || file->data[at - 1] == '\n'))
            return file->data + at + length;
    return NULL;
}

gpt4all_status parse_script(gpt4all_model *model, const char *path, const bytes *file) {
    char *at = find_script(file), *end = file->data + file->length;
    if (at == NULL) return fail(GPT4ALL_ERROR_MODEL_LOAD, "%s: this fake needs a line '#!gpt4all-fake'", path);
    while (at < end) {
        char *line_end = memchr(at, '\n', (size_t)(end - at));
        if (line_end == NULL) line_end = end;
        *line_end = '\0';
        gpt4all_status status = parse_line(model, path, (bytes){at, (size_t)(line_end - at)});
        if (status != GPT4ALL_OK) return status;
        at = line_end + 1;
    }
    int64_t n_known = TOKEN_FIRST_SCRIPTED + (int64_t)model->n_tokens;
    if (model->n_vocab == 0) model->n_vocab = n_known;
    if (model->n_vocab < n_known) return bad_script(path, "n_vocab", "is smaller than the tokens of the script");
    return GPT4ALL_OK;
}
