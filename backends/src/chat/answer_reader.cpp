#include "chat/answer_reader.h"

#include "base/cancel.h"
#include "base/guard.h"
#include "base/utf8.h"

#include "chat-peg-parser.h"

#include <algorithm>
#include <memory>
#include <new>

namespace gpt4all {
namespace {

constexpr std::size_t WORK_PER_BYTE = 500;
constexpr std::size_t LEAST_WORK = 1000 * 1000;
constexpr std::size_t MAX_DEPTH = 400; // parsers in parsers; some ten to a level of JSON

std::unique_ptr<common_chat_peg_mapper> mapper_of(common_chat_format kind, common_chat_msg &message) {
    if (kind == COMMON_CHAT_FORMAT_PEG_GEMMA4) return std::make_unique<common_chat_peg_gemma4_mapper>(message);
    if (kind == COMMON_CHAT_FORMAT_PEG_MINIMAX_M3) return std::make_unique<common_chat_peg_minimax_m3_mapper>(message);
    return std::make_unique<common_chat_peg_mapper>(message);
}

bool is_whole_object(const std::string &text) {
    if (text.empty() || text.front() != '{' || text.back() != '}') return false;
    const common_json json = common_json::parse_no_throw(text);
    return !json.is_discarded() && json.is_object();
}

// Reads beginnings of a text; all readings share the work that they may take.
class AnswerReader {
public:
    AnswerReader(const AnswerFormat &format, std::string_view text, const int32_t *cancel)
        : format_(format), text_(text), cancel_(cancel),
          work_left_(LEAST_WORK + WORK_PER_BYTE * (format.generation_prompt.size() + text.size())) {}

    struct Reading {
        common_chat_msg message;
        std::size_t length = 0; // of what was understood
        bool fits = false;      // nothing in it is against the format
        bool of_all = false;    // of the whole text
        bool wants_more = false;
    };

    Reading read(std::size_t length) {
        const std::size_t prompt = format_.generation_prompt.size();
        common_peg_parse_context context(format_.generation_prompt + std::string(text_.substr(0, length)),
                                         COMMON_PEG_PARSE_FLAG_LENIENT);
        context.work_left = work_left_;
        context.depth_left = MAX_DEPTH;
        context.next_poll = context.work_left;
        context.poll = [this] {
            if (is_set(cancel_)) throw Cancelled();
        };
        Reading reading;
        try {
            const common_peg_parse_result result = format_.parser.parse(context);
            work_left_ = context.work_left;
            if (result.fail()) return reading;
            mapper_of(format_.kind, reading.message)->from_ast(context.ast, result);
            // A lenient parse wants more wherever more could come.
            reading.length = std::max(result.end, prompt) - prompt;
            reading.fits = true;
            reading.of_all = length == text_.size();
            reading.wants_more = result.need_more_input();
            return reading;
        } catch (const Error &) {
            throw;
        } catch (const std::bad_alloc &) {
            throw;
        } catch (const std::exception &) {
            // Too deep, or too many steps.
            work_left_ = context.work_left;
            return {};
        }
    }

    // All of it, or about the longest beginning that is in the format: the same one, however much follows.
    Reading read_beginning() {
        Reading whole = read(text_.size());
        if (whole.fits) return whole;
        std::size_t step = 1, fitting = 0;
        while (step <= text_.size() / 2) step *= 2;
        for (; step > 0; step /= 2) {
            if (step > text_.size() - fitting) continue;
            const std::size_t length = character_before(fitting + step, fitting);
            if (length > fitting && read(length).fits) fitting = length;
        }
        return read(fitting);
    }

private:
    // Where the character at `place` begins, but not before `least`.
    std::size_t character_before(std::size_t place, std::size_t least) const {
        const auto is_inside = [&](std::size_t i) {
            return i < text_.size() && is_continuation(static_cast<unsigned char>(text_[i]));
        };
        while (place > least && is_inside(place)) place--;
        return place;
    }

    const AnswerFormat &format_;
    std::string_view text_;
    const int32_t *cancel_;
    std::size_t work_left_;
};

// How many bytes the character has that begins there; 0 where none does, or where it is cut.
std::size_t character_length(std::string_view text) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const int more = continuation_bytes(byte(0));
    const std::size_t length = static_cast<std::size_t>(more) + 1;
    if (more < 0 || length > text.size()) return 0;
    for (std::size_t i = 1; i < length; i++) {
        if (!is_continuation(byte(i))) return 0;
    }
    // Overlong forms, surrogates, and what lies beyond the last code point.
    const bool wrong = (byte(0) == 0xE0 && byte(1) < 0xA0) || (byte(0) == 0xED && byte(1) > 0x9F) ||
                       (byte(0) == 0xF0 && byte(1) < 0x90) || (byte(0) == 0xF4 && byte(1) > 0x8F);
    return wrong ? 0 : length;
}

// With U+FFFD for each byte that is none; of a text that goes on, without the character that it is cut in.
std::string valid_utf8(std::string_view text, bool goes_on) {
    std::string out;
    for (std::size_t i = 0; i < text.size();) {
        const std::size_t n = character_length(text.substr(i));
        const int more = continuation_bytes(static_cast<unsigned char>(text[i]));
        if (n == 0 && goes_on && more >= 0 && i + static_cast<std::size_t>(more) >= text.size()) break;
        if (n == 0) {
            out += "\xEF\xBF\xBD";
        } else {
            out += text.substr(i, n);
        }
        i += std::max<std::size_t>(n, 1);
    }
    return out;
}

// `said` is what the end of the prompt says, which is no part of the answer.
void leave_out(const std::string &said, std::string &text) {
    if (!said.empty() && text.compare(0, said.size(), said) == 0) text.erase(0, said.size());
}

} // namespace

void read_prompt(AnswerFormat &format) {
    const AnswerReader::Reading reading = AnswerReader(format, "", nullptr).read(0);
    format.said_content = reading.message.content;
    format.said_reasoning = reading.message.reasoning_content;
}

std::string read_answer(const AnswerFormat &format, std::string_view text, bool is_partial, const int32_t *cancel) {
    const std::string valid = valid_utf8(text, is_partial);
    AnswerReader::Reading reading = AnswerReader(format, valid, cancel).read_beginning();
    common_chat_msg &message = reading.message;
    leave_out(format.said_content, message.content);
    leave_out(format.said_reasoning, message.reasoning_content);
    bool complete = reading.of_all && reading.length == valid.size();
    // What was not understood is text. Of what was, some may be kept back, which could be the beginning of a call.
    const bool ends_early = !is_partial && reading.wants_more && message.tool_calls.empty();
    if (!reading.of_all || ends_early) message.content += valid.substr(reading.length);
    for (const common_chat_tool_call &call : message.tool_calls) complete = complete && is_whole_object(call.arguments);
    common_json calls = common_json::array();
    for (std::size_t i = 0; i < message.tool_calls.size(); i++) {
        const common_chat_tool_call &call = message.tool_calls[i];
        calls.push_back(common_json{{"id", call.id},
                                    {"name", call.name},
                                    {"arguments", call.arguments},
                                    {"complete", is_whole_object(call.arguments)}});
    }
    return common_json{{"content", message.content},
                       {"reasoning_content", message.reasoning_content},
                       {"tool_calls", calls},
                       {"complete", complete && !is_partial}}
        .dump();
}

} // namespace gpt4all
