#include "chat/template.h"

#include "base/cancel.h"
#include "base/guard.h"
#include "chat/messages.h"
#include "chat/sandbox/nesting.h"
#include "chat/sandbox/scope.h"

#include "jinja/lexer.h"
#include "jinja/parser.h"

#include <algorithm>
#include <utility>

namespace gpt4all {
namespace {

constexpr std::size_t MAX_TEMPLATE = 1024 * 1024;
constexpr std::size_t MAX_CACHED = 8;

[[noreturn]] void broken(const std::string &message) {
    throw Error(GPT4ALL_ERROR_TEMPLATE, "the chat template is broken: " + message);
}

[[noreturn]] void failed(const std::string &message) {
    throw Error(GPT4ALL_ERROR_TEMPLATE, "the chat template failed: " + message);
}

// The engine tells of a failure with a few lines of the source around it.
std::string brief(const std::string &message) {
    const std::size_t error = message.rfind("\nError: ");
    const std::size_t line = message.find(" at line ");
    const std::size_t end = message.find(" in source:");
    if (error == std::string::npos || line == std::string::npos || end == std::string::npos || end < line)
        return message;
    return message.substr(error + 8) + " (" + message.substr(line + 4, end - line - 4) + ")";
}

void replace_all(std::string &text, const std::string &from, const std::string &to) {
    jinja::string_replace_all(text, from, to);
}

// Checks in known templates that would end a conversation for good: gpt-oss
// takes its own marks in an answer's text for a mistake of the program, some
// of Mistral's forbid an answer without text, as a stopped one may be.
std::string without_harmful_checks(std::string source) {
    if (source.find("<|channel|>") != std::string::npos) {
        replace_all(source,
                    "{%- if \"<|channel|>analysis<|message|>\" in message.content or "
                    "\"<|channel|>final<|message|>\" in message.content %}",
                    "{%- if false %}");
    }
    if (source.find("[TOOL_CALLS]") != std::string::npos) {
        replace_all(source,
                    "{%- if (message['content'] is none or message['content'] == '' or "
                    "message['content']|length == 0) and (message['tool_calls'] is not defined or "
                    "message['tool_calls'] is none or message['tool_calls']|length == 0) %}",
                    "{%- if false %}");
    }
    return source;
}

// What tokenising adds by itself is not repeated in the text.
void drop_added_tokens(std::vector<RenderedPart> &parts, const std::string &bos, const std::string &eos) {
    if (!parts.empty() && !parts.front().from_message && !bos.empty() && parts.front().text.rfind(bos, 0) == 0) {
        parts.front().text.erase(0, bos.size());
    }
    if (!parts.empty() && !parts.back().from_message && !eos.empty()) {
        std::string &text = parts.back().text;
        if (text.size() >= eos.size() && text.compare(text.size() - eos.size(), eos.size(), eos) == 0) {
            text.erase(text.size() - eos.size());
        }
    }
    parts.erase(std::remove_if(parts.begin(), parts.end(), [](const RenderedPart &part) { return part.text.empty(); }),
                parts.end());
}

// Not the engine's own, which gets text of the engine's at every level it passes.
jinja::value refuse(const jinja::func_args &args) {
    args.ensure_vals<jinja::value_string>();
    throw TemplateRefusal{args.get_pos(0)->as_string().str()};
}

} // namespace

ChatTemplate::ChatTemplate(const std::string &source, const int32_t *cancel) {
    if (source.size() > MAX_TEMPLATE) broken("it is longer than 1 MiB");
    try {
        jinja::lexer_result lexed = jinja::lexer().tokenize(without_harmful_checks(source));
        check_nesting(lexed);
        program_ = jinja::parse_from_tokens(lexed);
        source_ = std::move(lexed.source);
        {
            TemplateScope scope(TemplateBounds::for_trial(), cancel);
            caps_ = jinja::caps_get(program_);
        }
        probe(cancel);
    } catch (const TemplateLimit &limit) {
        broken(limit.message);
    } catch (const TemplateCancelled &) {
        throw Cancelled();
    } catch (const Error &) {
        throw;
    } catch (const std::exception &error) {
        broken(error.what());
    }
}

// Tries the template out where the engine's own analysis does not: whether it
// bears None for tools, and whether a system message comes out in the text,
// not just whether it is touched.
void ChatTemplate::probe(const int32_t *cancel) {
    const common_json no_args = common_json::object();
    const auto try_out = [&](const common_json &messages) -> std::string {
        const RenderInput input = {messages, no_args, 0, true, "", "", false, false};
        try {
            std::string text;
            for (const RenderedPart &part : run(input, TemplateBounds::for_trial(), cancel)) text += part.text;
            return text;
        } catch (const Cancelled &) {
            throw;
        } catch (const Error &) {
            return "";
        }
    };
    const std::string sign = "gpt4all:system";
    const common_json system{{"role", "system"}, {"content", sign}}, user{{"role", "user"}, {"content", "Hello"}};
    if (try_out(common_json::array({user})).empty()) {
        sets_tools_ = false;
        sets_tools_ = try_out(common_json::array({user})).empty();
    }
    caps_.supports_system_role = true;
    caps_.supports_system_role = try_out(common_json::array({system, user})).find(sign) != std::string::npos;
}

std::vector<RenderedPart> ChatTemplate::render(const RenderInput &input, const int32_t *cancel) const {
    return run(input, TemplateBounds::for_conversation(input.messages.size(), input.bytes), cancel);
}

std::vector<RenderedPart> ChatTemplate::run(const RenderInput &input, const TemplateBounds &bounds,
                                            const int32_t *cancel) const {
    // Made before the scope, and so not charged to the template.
    jinja::context context(source_);
    try {
        context.set_val("messages", messages_value(prepare_messages(input.messages, caps_, source_)));
        context.set_val("add_generation_prompt", jinja::mk_val<jinja::value_bool>(input.add_generation_prompt));
        context.set_val("bos_token", jinja::mk_val<jinja::value_string>(input.bos_token));
        context.set_val("eos_token", jinja::mk_val<jinja::value_string>(input.eos_token));
        context.set_val("raise_exception", jinja::mk_val<jinja::value_func>("raise_exception", refuse));
        if (sets_tools_) {
            // As Python programs do where there are none, which templates count on.
            context.set_val("tools", jinja::mk_val<jinja::value_none>());
            context.set_val("documents", jinja::mk_val<jinja::value_none>());
        }
        for (auto it = input.args.begin(); it != input.args.end(); ++it) {
            context.set_val(it.key(), input_value(it.value()));
        }
        TemplateScope scope(bounds, cancel);
        const jinja::value results = jinja::runtime(context).execute(program_);
        const jinja::value_string text = jinja::runtime::gather_string_parts(results);
        std::vector<RenderedPart> parts;
        for (jinja::string_part &part : text->val_str.parts) {
            parts.push_back({std::move(part.val), part.is_input});
        }
        drop_added_tokens(parts, input.adds_bos ? input.bos_token : "", input.adds_eos ? input.eos_token : "");
        return parts;
    } catch (const TemplateLimit &limit) {
        failed(limit.message);
    } catch (const TemplateCancelled &) {
        throw Cancelled();
    } catch (const TemplateRefusal &refusal) {
        throw Error(GPT4ALL_ERROR_TEMPLATE, "the chat template refuses the conversation: " + refusal.message);
    } catch (const Error &) {
        throw;
    } catch (const std::exception &error) {
        failed(brief(error.what()));
    }
}

std::shared_ptr<const EngineTemplate> ChatTemplate::engine(const int32_t *cancel) const {
    const std::lock_guard lock(mutex_);
    if (engine_ != nullptr) return engine_;
    try {
        TemplateScope scope(TemplateBounds::for_analysis(), cancel);
        // It is lexed and parsed once more, which check_nesting() has found harmless.
        // Without the begin and end tokens' texts, which the analysis takes for marks of calls.
        auto made = std::make_shared<EngineTemplate>(EngineTemplate{{source_, "", ""}, {}});
        made->analysis.analyze_template(made->tmpl);
        engine_ = std::move(made);
        return engine_;
    } catch (const TemplateLimit &limit) {
        failed(limit.message);
    } catch (const TemplateCancelled &) {
        throw Cancelled();
    } catch (const TemplateRefusal &refusal) {
        failed(refusal.message);
    } catch (const Error &) {
        throw;
    } catch (const std::exception &error) {
        failed(brief(error.what()));
    }
}

std::shared_ptr<const ChatTemplate> TemplateCache::get(const std::string &source, const int32_t *cancel) {
    {
        std::lock_guard lock(mutex_);
        for (auto it = entries_.begin(); it != entries_.end(); ++it) {
            if (it->source != source) continue;
            entries_.splice(entries_.begin(), entries_, it);
            return it->parsed;
        }
    }
    // Not under the lock, which would make other templates wait for a slow one.
    auto parsed = std::make_shared<const ChatTemplate>(source, cancel);
    std::lock_guard lock(mutex_);
    entries_.push_front({source, parsed});
    if (entries_.size() > MAX_CACHED) entries_.pop_back();
    return parsed;
}

} // namespace gpt4all
