// How a model writes its answer where it may call tools.
#pragma once

#include "chat/template.h"
#include "chat/tools.h"
#include "grammar/constraint.h"

#include "chat.h"
#include "peg-parser.h"

#include <cstdint>
#include <string>
#include <vector>

namespace gpt4all {

struct AnswerFormat {
    std::string name;                  // "native", "generic" or "text"
    std::string grammar;               // empty: any text
    std::vector<std::string> triggers; // what the grammar begins with; empty: with the whole answer
    bool calls_alone = false;          // the grammar has no text around calls
    bool waits = false;                // text before a trigger is free
    std::vector<std::string> stops;    // besides the caller's
    std::vector<std::string> tokens;   // control tokens that are part of the text
    std::string generation_prompt;     // the end of the prompt, which the grammar and the parser begin with
    std::string said_content;          // what the parser takes that end itself to say
    std::string said_reasoning;
    std::string thinking_open;
    std::vector<std::string> thinking_close;
    common_chat_format kind = COMMON_CHAT_FORMAT_PEG_NATIVE;
    common_peg_arena parser;
};

struct PreparedChat {
    std::vector<RenderedPart> prompt;
    AnswerFormat format;
};

PreparedChat prepare_chat(const ChatTemplate &chat_template, const RenderInput &input, const ToolChoice &choice,
                          const llama_vocab *vocab, const int32_t *cancel);

// Where in the answer its grammar holds, without the tokens that count as text.
GrammarScope scope_of(const AnswerFormat &format);

// For reports.
std::string describe(const AnswerFormat &format);

} // namespace gpt4all
