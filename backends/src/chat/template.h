// A parsed chat template, and what it makes of a conversation.
#pragma once

#include "chat/sandbox/scope.h"

#include "chat-auto-parser.h"
#include "chat.h"
#include "jinja/caps.h"
#include "jinja/runtime.h"
#include "json.h"

#include <cstddef>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace gpt4all {

struct RenderedPart {
    std::string text;
    bool from_message;
};

struct RenderInput {
    const common_json &messages;
    const common_json &args; // an object
    std::size_t bytes;       // of both as text
    bool add_generation_prompt;
    std::string bos_token;
    std::string eos_token;
    bool adds_bos; // while tokenising
    bool adds_eos;
};

// What llama.cpp's common/chat makes of a template.
struct EngineTemplate {
    common_chat_template tmpl;
    autoparser::autoparser analysis; // of how answers are written
};

// Used by several threads at once, so rendering changes nothing in it.
class ChatTemplate {
public:
    // Throws GPT4ALL_ERROR_TEMPLATE, as render() does, or Cancelled. `cancel` may be NULL.
    ChatTemplate(const std::string &source, const int32_t *cancel);

    std::vector<RenderedPart> render(const RenderInput &input, const int32_t *cancel) const;

    const std::string &source() const { return source_; }

    // Made when it is first asked for, and kept.
    std::shared_ptr<const EngineTemplate> engine(const int32_t *cancel) const;

private:
    void probe(const int32_t *cancel);
    std::vector<RenderedPart> run(const RenderInput &input, const TemplateBounds &bounds, const int32_t *cancel) const;

    std::string source_;
    jinja::program program_;
    jinja::caps caps_;
    bool sets_tools_ = true;
    mutable std::mutex mutex_;
    mutable std::shared_ptr<const EngineTemplate> engine_;
};

// The templates used last with a model.
class TemplateCache {
public:
    std::shared_ptr<const ChatTemplate> get(const std::string &source, const int32_t *cancel);

private:
    struct Entry {
        std::string source;
        std::shared_ptr<const ChatTemplate> parsed;
    };
    std::mutex mutex_;
    std::list<Entry> entries_; // the last used one first
};

} // namespace gpt4all
