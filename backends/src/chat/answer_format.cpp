#include "chat/answer_format.h"

#include "base/cancel.h"
#include "base/guard.h"
#include "chat/answer_reader.h"
#include "grammar/splice.h"

#include "chat-auto-parser.h"
#include "chat-peg-parser.h"

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <utility>

namespace gpt4all {
namespace {

using Render = std::function<std::string(const common_json &)>;
using SchemaRule = std::function<std::string(const std::string &)>;

// Sets one of the hooks of patches/50-chat-tools.patch, on this thread.
template <class Hook> class HookScope {
public:
    HookScope(const Hook *&slot, const Hook &hook) : slot_(slot), before_(slot) { slot_ = &hook; }
    ~HookScope() { slot_ = before_; }
    HookScope(const HookScope &) = delete;
    HookScope &operator=(const HookScope &) = delete;

private:
    const Hook *&slot_;
    const Hook *before_;
};

// Whether the prompt asks for thinking. Templates differ in what they do where nothing is said about it.
bool asks_for_thinking(const ChatTemplate &chat_template, const RenderInput &input, const int32_t *cancel) {
    constexpr const char *NAME = "enable_thinking";
    if (input.args.contains(NAME)) return !(input.args.at(NAME) == false);
    if (chat_template.source().find(NAME) == std::string::npos) return true;
    const auto prompt = [&](const std::optional<bool> &thinking) {
        common_json args = input.args;
        if (thinking) args[NAME] = *thinking;
        const RenderInput with = {input.messages,  args,           input.bytes,   true, input.bos_token,
                                  input.eos_token, input.adds_bos, input.adds_eos};
        std::string text;
        for (const RenderedPart &part : chat_template.render(with, cancel)) text += part.text;
        return text;
    };
    try {
        const std::string plain = prompt({});
        return plain != prompt(false) || plain == prompt(true);
    } catch (const Cancelled &) {
        throw;
    } catch (const Error &) {
        return true;
    }
}

class LazyScope {
public:
    explicit LazyScope(int lazy) { common_peg_lazy_override = lazy; }
    ~LazyScope() { common_peg_lazy_override = -1; }
    LazyScope(const LazyScope &) = delete;
    LazyScope &operator=(const LazyScope &) = delete;
};

// Renders what the engine's formats want rendered, and keeps the prompt.
class Renderer {
public:
    Renderer(const ChatTemplate &chat_template, const RenderInput &input, common_json shown, const int32_t *cancel)
        : template_(chat_template), input_(input), shown_(std::move(shown)), cancel_(cancel) {}

    std::string operator()(const common_json &variables) {
        common_json args = common_json::object();
        for (auto it = variables.begin(); it != variables.end(); ++it) {
            const std::string key = it.key();
            if (key == "messages" || key == "add_generation_prompt" || key == "bos_token" || key == "eos_token")
                continue;
            // Whatever a template takes to be the case without it.
            if (key == "enable_thinking" && !input_.args.contains(key)) continue;
            if (key != "tools") args[key] = it.value();
        }
        if (!shown_.empty()) args["tools"] = shown_;
        const bool asks = variables.contains("add_generation_prompt");
        const common_json &messages = variables.at("messages");
        const RenderInput input = {
            messages, args, input_.bytes, asks, input_.bos_token, input_.eos_token, input_.adds_bos, input_.adds_eos};
        std::vector<RenderedPart> parts = template_.render(input, cancel_);
        std::string text;
        for (const RenderedPart &part : parts) text += part.text;
        if (asks && prompt_.empty()) prompt_ = std::move(parts);
        return text;
    }

    std::vector<RenderedPart> take_prompt() { return std::move(prompt_); }

private:
    const ChatTemplate &template_;
    const RenderInput &input_;
    const common_json shown_; // tools
    const int32_t *cancel_;
    std::vector<RenderedPart> prompt_;
};

// The grammars of the tools, under the names that the engine's formats ask for.
class ToolGrammars {
public:
    explicit ToolGrammars(const std::vector<const Tool *> &tools) : tools_(tools) {
        for (std::size_t i = 0; i < tools.size(); i++) {
            const Tool &tool = *tools[i];
            const std::string prefix = "args-" + std::to_string(i) + "-";
            add("tool-" + tool.name + "-schema", prefix, tool.grammar);
            std::size_t n = 0;
            for (const auto &[name, grammar] : tool.properties) {
                if (grammar.empty()) continue;
                for (const std::string &rule : argument(tool, name)) {
                    add(rule, prefix + std::to_string(n) + "-", grammar);
                }
                n++;
            }
        }
    }

    // A reference to the rule of that name.
    std::string rule(const std::string &name) {
        const auto found = grammars_.find(name);
        if (found == grammars_.end()) return "";
        asked_.insert(name);
        return found->second.prefix + "root";
    }

    // Whether what was asked for holds all arguments to their schemas.
    // `tagged`: arguments may have been written one by one.
    bool holds(bool tagged) const {
        return !ambiguous_ && std::all_of(tools_.begin(), tools_.end(), [&](const Tool *tool) {
            if (asked_.count("tool-" + tool->name + "-schema") != 0) return true;
            if (!tagged || !tool->has_properties) return false;
            return std::all_of(tool->properties.begin(), tool->properties.end(), [&](const auto &property) {
                const auto rules = argument(*tool, property.first);
                return property.second.empty() || std::any_of(rules.begin(), rules.end(), [&](const std::string &rule) {
                           return asked_.count(rule) != 0;
                       });
            });
        });
    }

    // Of all that were asked for.
    std::string rules() const {
        std::string text;
        for (const std::string &name : asked_) {
            const Entry &entry = grammars_.at(name);
            text += "\n" + with_prefix(*entry.grammar, entry.prefix) + "\n";
        }
        return text;
    }

private:
    struct Entry {
        std::string prefix;
        const std::string *grammar;
    };

    // The second is Ling's.
    static std::array<std::string, 2> argument(const Tool &tool, const std::string &name) {
        return {"tool-" + tool.name + "-arg-" + name + "-schema", "ling3-arg-" + tool.name + "-" + name + "-schema"};
    }

    void add(const std::string &name, const std::string &prefix, const std::string &grammar) {
        ambiguous_ |= !grammars_.emplace(name, Entry{prefix, &grammar}).second;
    }

    const std::vector<const Tool *> &tools_;
    std::map<std::string, Entry> grammars_;
    std::set<std::string> asked_;
    bool ambiguous_ = false;
};

autoparser::generation_params parameters(const RenderInput &input, const std::vector<const Tool *> &tools,
                                         bool thinking) {
    autoparser::generation_params params;
    params.messages = input.messages;
    params.tools = tools.empty() ? common_json() : plain_tools(tools);
    params.reasoning_format = COMMON_REASONING_FORMAT_DEEPSEEK;
    params.add_generation_prompt = true;
    params.add_bos = input.adds_bos;
    params.add_eos = input.adds_eos;
    params.extra_context = input.args;
    params.enable_thinking = thinking;
    return params;
}

void trim(std::string &text) {
    constexpr const char *SPACE = " \t\r\n";
    text.erase(0, std::min(text.find_first_not_of(SPACE), text.size()));
    text.erase(text.find_last_not_of(SPACE) + 1);
}

// What calls begin with; nothing where the engine knows it by patterns only.
std::vector<std::string> read_triggers(const common_chat_params &params) {
    std::vector<std::string> triggers;
    for (const common_grammar_trigger &trigger : params.grammar_triggers) {
        if (trigger.type != COMMON_GRAMMAR_TRIGGER_TYPE_WORD || trigger.value.empty()) return {};
        triggers.push_back(trigger.value);
    }
    return triggers;
}

AnswerFormat read_format(const common_chat_params &params) {
    AnswerFormat format;
    format.kind = params.format;
    format.generation_prompt = params.generation_prompt;
    format.stops = params.additional_stops;
    format.tokens = params.preserved_tokens;
    format.thinking_open = params.thinking_start_tag;
    format.thinking_close = params.thinking_end_tags;
    trim(format.thinking_open);
    for (std::string &close : format.thinking_close) trim(close);
    format.parser.load(params.parser);
    format.grammar = params.grammar;
    return format;
}

// Markers of the engine's own formats where arguments have no schema of their own.
bool writes_by_kind(const std::string &source, common_chat_format kind) {
    return kind == COMMON_CHAT_FORMAT_PEG_GEMMA4 || kind == COMMON_CHAT_FORMAT_PEG_MINIMAX_M3 ||
           source.find("<|end_of_msg|>") != std::string::npos || source.find("List of tools: ") != std::string::npos;
}

// Of Functionary 3.2, which may always write to all before it calls.
bool writes_to_all(const std::string &source) { return source.find(">>>all") != std::string::npos; }

struct Attempt {
    std::vector<RenderedPart> prompt;
    AnswerFormat format;
    bool holds = true;
};

using Generate = std::function<common_chat_params(autoparser::generation_params &)>;

Attempt attempt(const ChatTemplate &chat_template, const RenderInput &input, const ToolChoice &choice, bool shows_tools,
                bool thinking, const int32_t *cancel, const Generate &generate) {
    const std::vector<const Tool *> tools = choice.callable();
    ToolGrammars grammars(tools);
    Renderer renderer(chat_template, input, shows_tools && !choice.none ? shown_tools(choice.tools) : common_json(),
                      cancel);
    const Render render = [&](const common_json &variables) { return renderer(variables); };
    const SchemaRule rule = [&](const std::string &name) { return grammars.rule(name); };
    const HookScope render_scope(common_chat_render_hook, render);
    const HookScope rule_scope(common_peg_schema_hook, rule);
    const auto make = [&](common_chat_tool_choice how, int lazy) {
        const LazyScope lazy_scope(lazy);
        autoparser::generation_params params = parameters(input, tools, thinking);
        params.tool_choice = how;
        params.parallel_tool_calls = choice.parallel;
        return generate(params);
    };
    common_chat_params made = make(choice.none ? COMMON_CHAT_TOOL_CHOICE_NONE : COMMON_CHAT_TOOL_CHOICE_AUTO, -1);
    const std::vector<std::string> triggers = read_triggers(made);
    const bool by_pattern = triggers.empty() && !made.grammar_triggers.empty();
    if (choice.required || by_pattern) {
        // Where a call is required, no text comes before it: it might go on for ever.
        made =
            make(choice.required ? COMMON_CHAT_TOOL_CHOICE_REQUIRED : COMMON_CHAT_TOOL_CHOICE_AUTO, by_pattern ? 0 : 1);
    }
    Attempt out;
    out.format = read_format(made);
    out.format.calls_alone = !by_pattern;
    out.format.triggers = triggers;
    out.format.waits = !choice.required && !by_pattern;
    out.prompt = renderer.take_prompt();
    if (!tools.empty()) {
        out.holds =
            !out.format.grammar.empty() && grammars.holds(!writes_by_kind(chat_template.source(), out.format.kind));
        out.format.grammar += grammars.rules();
    }
    return out;
}

common_chat_params analysed(const common_chat_template &tmpl, const autoparser::generation_params &params,
                            const autoparser::autoparser &analysis) {
    common_chat_params made = autoparser::peg_generator::generate_parser(tmpl, params, analysis);
    if (analysis.reasoning.mode == autoparser::reasoning_mode::NONE || analysis.reasoning.end.empty()) return made;
    made.thinking_start_tag = analysis.reasoning.start;
    made.thinking_end_tags = {analysis.reasoning.end};
    return made;
}

void check_tool_grammars(const Tool &tool, const llama_vocab *vocab) {
    const auto check = [&](const std::string &grammar, const std::string &whose) {
        try {
            parse_grammar(grammar, vocab);
        } catch (const Error &error) {
            throw Error(error.status(), "tools_json: the grammar of " + whose + ": " + error.what());
        }
    };
    check(tool.grammar, "'" + tool.name + "'");
    for (const auto &[name, grammar] : tool.properties) {
        if (!grammar.empty()) check(grammar, "'" + name + "' of '" + tool.name + "'");
    }
}

bool begins_as_prompt_ends(const AnswerFormat &format, const llama_vocab *vocab, const int32_t *cancel) {
    if (format.grammar.empty()) return true;
    const GrammarScope scope = scope_of(format);
    GrammarMatcher matcher(parse_grammar(format.grammar, vocab), cancel);
    GrammarMatcher::Place place = matcher.start();
    if (!matcher.feed(place, scope.prompt)) return false;
    return !scope.waits || std::any_of(scope.triggers.begin(), scope.triggers.end(), [&](const std::string &trigger) {
        place = matcher.start();
        return matcher.feed(place, trigger);
    });
}

std::optional<PreparedChat> prepare_native(const EngineTemplate &engine, const ChatTemplate &chat_template,
                                           const RenderInput &input, const ToolChoice &choice, bool thinking,
                                           const int32_t *cancel) {
    if (!engine.tmpl.caps.supports_tool_calls || !(choice.none || engine.tmpl.caps.supports_tools)) return {};
    if (choice.required && writes_to_all(chat_template.source())) return {};
    try {
        const auto generate = [&](autoparser::generation_params &params) {
            auto special = common_chat_try_specialized_template(engine.tmpl, chat_template.source(), params);
            return special ? *special : analysed(engine.tmpl, params, engine.analysis);
        };
        Attempt made = attempt(chat_template, input, choice, true, thinking, cancel, generate);
        if (!made.holds) return {};
        made.format.name = choice.none ? "text" : "native";
        return PreparedChat{std::move(made.prompt), std::move(made.format)};
    } catch (const Error &error) {
        // Rendered without tools, it may go well.
        if (error.status() != GPT4ALL_ERROR_TEMPLATE) throw;
        return {};
    } catch (const std::bad_alloc &) {
        throw;
    } catch (const std::exception &) {
        return {}; // A template that the engine cannot make out.
    }
}

// Where the engine knows the family, it knows its marks of thinking better than the analysis of the template does.
void use_known_thinking(const EngineTemplate &engine, const ChatTemplate &chat_template,
                        autoparser::generation_params params, autoparser::autoparser &analysis) {
    params.tools = common_json();
    const auto known = common_chat_try_specialized_template(engine.tmpl, chat_template.source(), params);
    if (!known || known->thinking_start_tag.empty() || known->thinking_end_tags.empty()) return;
    analysis.reasoning.mode = autoparser::reasoning_mode::TAG_BASED;
    analysis.reasoning.start = known->thinking_start_tag;
    analysis.reasoning.end = known->thinking_end_tags.front();
}

// A JSON object between tags, which is what most models know.
PreparedChat prepare_generic(const EngineTemplate &engine, const ChatTemplate &chat_template, const RenderInput &input,
                             const ToolChoice &choice, bool thinking, const int32_t *cancel) {
    autoparser::autoparser analysis = engine.analysis;
    analysis.jinja_caps.supports_tool_calls = true;
    analysis.tools = autoparser::analyze_tools();
    analysis.tools.format.mode = autoparser::tool_format::JSON_NATIVE;
    analysis.tools.format.per_call_start = "<tool_call>";
    analysis.tools.format.per_call_end = "</tool_call>";
    analysis.preserved_tokens.insert(analysis.preserved_tokens.end(), {"<tool_call>", "</tool_call>"});
    const common_json messages = without_tool_messages(input.messages, choice);
    const RenderInput plain = {messages,        input.args,      input.bytes,    true,
                               input.bos_token, input.eos_token, input.adds_bos, input.adds_eos};
    const auto generate = [&](autoparser::generation_params &params) {
        use_known_thinking(engine, chat_template, params, analysis);
        return analysed(engine.tmpl, params, analysis);
    };
    Attempt made = attempt(chat_template, plain, choice, false, thinking, cancel, generate);
    if (!made.holds) throw Error(GPT4ALL_ERROR_INTERNAL, "the tools' grammars found no place in the answer's");
    made.format.name = choice.none ? "text" : "generic";
    return {std::move(made.prompt), std::move(made.format)};
}

} // namespace

PreparedChat prepare_chat(const ChatTemplate &chat_template, const RenderInput &input, const ToolChoice &choice,
                          const llama_vocab *vocab, const int32_t *cancel) {
    for (const Tool &tool : choice.tools) check_tool_grammars(tool, vocab);
    const std::shared_ptr<const EngineTemplate> engine = chat_template.engine(cancel);
    const bool thinking = asks_for_thinking(chat_template, input, cancel);
    auto made = prepare_native(*engine, chat_template, input, choice, thinking, cancel);
    if (!made || !begins_as_prompt_ends(made->format, vocab, cancel)) {
        made = prepare_generic(*engine, chat_template, input, choice, thinking, cancel);
        if (!begins_as_prompt_ends(made->format, vocab, cancel)) made.reset();
    }
    if (made) {
        read_prompt(made->format);
        return std::move(*made);
    }
    throw Error(GPT4ALL_ERROR_TEMPLATE, "the chat template ends its prompt in a way that no call of a tool can follow");
}

GrammarScope scope_of(const AnswerFormat &format) {
    GrammarScope scope;
    if (!format.calls_alone) {
        // The grammar has thinking too.
        scope.prompt = format.generation_prompt;
        return scope;
    }
    scope.triggers = format.triggers;
    scope.waits = format.waits;
    for (const std::string &close : format.thinking_close) {
        const bool calls = std::find(scope.triggers.begin(), scope.triggers.end(), close) != scope.triggers.end();
        scope.thinking.closes_with_call |= calls;
        if (!calls && scope.thinking.close.empty()) scope.thinking.close = close;
    }
    const std::string &prompt = format.generation_prompt;
    const std::size_t open = format.thinking_open.empty() ? std::string::npos : prompt.rfind(format.thinking_open);
    const std::size_t close = scope.thinking.close.empty() ? std::string::npos : prompt.rfind(scope.thinking.close);
    if (format.thinking_open.empty() || close != std::string::npos) {
        // It is not known where thinking begins, or it is over.
        if (open == std::string::npos || close > open) scope.thinking = {};
    } else if (open == std::string::npos) {
        scope.thinking.open = format.thinking_open;
    }
    return scope;
}

std::string describe(const AnswerFormat &format) {
    return common_json{{"format", format.name},
                       {"grammar", format.grammar},
                       {"triggers", format.triggers},
                       {"waits", format.waits},
                       {"stops", format.stops},
                       {"tokens", format.tokens},
                       {"generation_prompt", format.generation_prompt},
                       {"thinking_open", format.thinking_open},
                       {"thinking_close", format.thinking_close}}
        .dump();
}

} // namespace gpt4all
