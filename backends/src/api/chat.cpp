#include "api/handle.h"
#include "base/guard.h"
#include "chat/answer_format.h"
#include "chat/answer_reader.h"
#include "chat/messages.h"
#include "chat/template.h"
#include "tokens/vocabulary.h"

#include <cstring>

namespace gpt4all {
namespace {

common_json parse_args(const char *args_json) {
    if (args_json == nullptr) return common_json::object();
    common_json args = parse_json(args_json, "args_json");
    if (!args.is_object()) invalid_argument("args_json is no object");
    for (const char *name : {"messages", "add_generation_prompt"}) {
        if (args.contains(name))
            invalid_argument(std::string("args_json sets ") + name + ", which has a parameter of its own");
    }
    return args;
}

// What both ways to render are given.
struct Conversation {
    Conversation(const gpt4all_model &handle, const char *chat_template, const char *messages_json,
                 const char *args_json, const int32_t *cancel)
        : model(handle.model) {
        require(messages_json, "messages_json");
        messages = parse_json(messages_json, "messages_json");
        check_messages(messages);
        args = parse_args(args_json);
        const std::string source = chat_template == nullptr ? model.facts.chat_template : chat_template;
        if (chat_template == nullptr && source.empty()) {
            throw Error(GPT4ALL_ERROR_TEMPLATE, "the model brings no chat template");
        }
        bytes = std::strlen(messages_json) + (args_json == nullptr ? 0 : std::strlen(args_json));
        parsed = model.templates->get(source, cancel);
    }

    RenderInput input(bool add_generation_prompt) const {
        return {messages,
                args,
                bytes,
                add_generation_prompt,
                token_text(model.vocab, llama_vocab_bos(model.vocab), true),
                token_text(model.vocab, llama_vocab_eos(model.vocab), true),
                llama_vocab_get_add_bos(model.vocab),
                llama_vocab_get_add_eos(model.vocab)};
    }

    const Model &model;
    common_json messages, args;
    std::size_t bytes = 0;
    std::shared_ptr<const ChatTemplate> parsed;
};

void deliver(const std::vector<RenderedPart> &parts, gpt4all_part_callback callback, void *payload) {
    for (const RenderedPart &part : parts) {
        const auto length = static_cast<int64_t>(part.text.size());
        if (callback(part.text.data(), length, part.from_message ? 1 : 0, payload) != 0) break;
    }
}

} // namespace
} // namespace gpt4all

gpt4all_status gpt4all_chat_render(const gpt4all_model *model, const char *chat_template, const char *messages_json,
                                   const char *args_json, int32_t add_generation_prompt, const int32_t *cancel,
                                   gpt4all_part_callback callback, void *payload) {
    return gpt4all::guarded([&] {
        using namespace gpt4all;
        require(model, "model");
        require(reinterpret_cast<const void *>(callback), "callback");
        const Conversation talk(*model, chat_template, messages_json, args_json, cancel);
        deliver(talk.parsed->render(talk.input(add_generation_prompt != 0), cancel), callback, payload);
    });
}

gpt4all_status gpt4all_chat_prepare(const gpt4all_model *model, const char *chat_template, const char *messages_json,
                                    const char *tools_json, const char *args_json, const int32_t *cancel,
                                    gpt4all_part_callback callback, void *payload, gpt4all_chat **chat) {
    return gpt4all::guarded([&] {
        using namespace gpt4all;
        require(chat, "chat");
        *chat = nullptr;
        require(model, "model");
        require(tools_json, "tools_json");
        require(reinterpret_cast<const void *>(callback), "callback");
        const Conversation talk(*model, chat_template, messages_json, args_json, cancel);
        if (talk.args.contains("tools")) invalid_argument("args_json sets tools, which have a parameter of their own");
        const ToolChoice choice = read_tools(tools_json);
        RenderInput input = talk.input(true);
        input.bytes += std::strlen(tools_json);
        PreparedChat made = prepare_chat(*talk.parsed, input, choice, model->model.vocab, cancel);
        auto handle = std::make_unique<gpt4all_chat>(gpt4all_chat{model, std::move(made.format)});
        deliver(made.prompt, callback, payload);
        *chat = handle.release();
    });
}

gpt4all_status gpt4all_chat_parse(const gpt4all_chat *chat, const char *text, int64_t text_len, int32_t is_partial,
                                  const int32_t *cancel, gpt4all_part_callback callback, void *payload) {
    return gpt4all::guarded([&] {
        using namespace gpt4all;
        require(chat, "chat");
        if (text_len < 0) invalid_argument("text_len must not be negative");
        if (text_len > 0) require(text, "text");
        require(reinterpret_cast<const void *>(callback), "callback");
        const std::string_view view(text_len > 0 ? text : "", static_cast<std::size_t>(text_len));
        const std::string answer = read_answer(chat->format, view, is_partial != 0, cancel);
        callback(answer.data(), static_cast<int64_t>(answer.size()), 0, payload);
    });
}

gpt4all_status gpt4all_chat_describe(const gpt4all_chat *chat, gpt4all_part_callback callback, void *payload) {
    return gpt4all::guarded([&] {
        using namespace gpt4all;
        require(chat, "chat");
        require(reinterpret_cast<const void *>(callback), "callback");
        const std::string answer = describe(chat->format);
        callback(answer.data(), static_cast<int64_t>(answer.size()), 0, payload);
    });
}

gpt4all_status gpt4all_chat_free(gpt4all_chat *chat) {
    return gpt4all::guarded([&] { delete chat; });
}
