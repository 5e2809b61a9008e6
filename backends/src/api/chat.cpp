#include "api/handle.h"
#include "base/guard.h"
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

} // namespace
} // namespace gpt4all

gpt4all_status gpt4all_chat_render(const gpt4all_model *model, const char *chat_template, const char *messages_json,
                                   const char *args_json, int32_t add_generation_prompt, const int32_t *cancel,
                                   gpt4all_part_callback callback, void *payload) {
    return gpt4all::guarded([&] {
        using namespace gpt4all;
        require(model, "model");
        require(messages_json, "messages_json");
        require(reinterpret_cast<const void *>(callback), "callback");
        const common_json messages = parse_json(messages_json, "messages_json");
        check_messages(messages);
        const common_json args = parse_args(args_json);
        const std::string source = chat_template == nullptr ? model->model.facts.chat_template : chat_template;
        if (chat_template == nullptr && source.empty()) {
            throw Error(GPT4ALL_ERROR_TEMPLATE, "the model brings no chat template");
        }
        const std::size_t bytes = std::strlen(messages_json) + (args_json == nullptr ? 0 : std::strlen(args_json));
        const llama_vocab *vocab = model->model.vocab;
        const RenderInput input = {messages,
                                   args,
                                   bytes,
                                   add_generation_prompt != 0,
                                   token_text(vocab, llama_vocab_bos(vocab), true),
                                   token_text(vocab, llama_vocab_eos(vocab), true),
                                   llama_vocab_get_add_bos(vocab),
                                   llama_vocab_get_add_eos(vocab)};
        const std::vector<RenderedPart> parts = model->model.templates->get(source, cancel)->render(input, cancel);
        for (const RenderedPart &part : parts) {
            const auto length = static_cast<int64_t>(part.text.size());
            if (callback(part.text.data(), length, part.from_message ? 1 : 0, payload) != 0) break;
        }
    });
}
