// What chats keep with a model: parsed templates, and the vocabulary's marks.
#pragma once

#include "chat/template.h"
#include "tokens/marks.h"

namespace gpt4all {

struct ChatState {
    TemplateCache templates;
    TokenMarks marks;
};

} // namespace gpt4all
