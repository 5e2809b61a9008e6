// Chat templates and conversations, either of which may be hostile, and answers
// to them that may call a tool.
//
// Input: flags, the template, its arguments (JSON), with TOOLS the text of an
// answer and with OWN_TOOLS the tools as JSON, then the roles and contents of
// messages in turn, or the messages as JSON.
#include "fuzz.h"

#include <algorithm>
#include <ctime>

namespace {

enum : uint8_t {
    RAW_MESSAGES = 1,
    WITH_ARGUMENTS = 2,
    GENERATION_PROMPT = 4,
    OWN_TEMPLATE = 8,
    TOOLS = 16,
    REQUIRED = 32,
    OWN_TOOLS = 64
};

// Ends every message. Where it turns up outside of what came from messages,
// a user could have written a control token there.
const std::string SIGN = "\xE2\x98\xA3Q7";

// What a template may compute takes a second or two without sanitizers. On a
// busy machine the clock says nothing, the processor's time does.
constexpr double MAX_SECONDS = 30;

double processor_seconds() {
    timespec now = {};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

struct Part {
    std::string text;
    bool from_message;
};

int32_t take(const char *text, int64_t length, int32_t from_message, void *payload) {
    auto *parts = static_cast<std::vector<Part> *>(payload);
    parts->push_back({std::string(text, static_cast<std::size_t>(length)), from_message != 0});
    return 0;
}

std::string quoted(const std::string &text) {
    constexpr char DIGITS[] = "0123456789abcdef";
    std::string json = "\"";
    for (const char c : text) {
        const auto code = static_cast<unsigned char>(c);
        if (code < 0x20 || c == '"' || c == '\\') {
            json += "\\u00";
            json += DIGITS[code >> 4];
            json += DIGITS[code & 15];
        } else {
            json += c;
        }
    }
    return json + "\"";
}

std::string read_messages(fuzz::Input &input) {
    std::string json = "[";
    while (!input.done()) {
        const std::string role = input.text();
        json += json.size() > 1 ? "," : "";
        json += "{\"role\":" + quoted(role) + ",\"content\":" + quoted(input.text() + SIGN) + "}";
    }
    return json + "]";
}

void check_parts(const gpt4all_model *model, const std::vector<Part> &rendered, bool signs_are_messages) {
    std::vector<gpt4all_text_part> parts;
    std::string all, own;
    for (const Part &part : rendered) {
        parts.push_back({part.text.data(), static_cast<int64_t>(part.text.size()), part.from_message ? 0 : 1, 0});
        all += part.text;
        // Something of a message in between keeps two stretches of the template apart.
        own += part.from_message ? std::string(1, '\0') : part.text;
    }
    fuzz::expect(!signs_are_messages || own.find(SIGN) == std::string::npos,
                 "a message's text passes for the template's");
    fuzz::tokenize_parts(model, parts, GPT4ALL_TOKENIZE_ADD_SPECIAL, fuzz::is_valid_utf8(all));
}

// Any text has a reading, and no call in it is complete before it is JSON.
void read_answer(const gpt4all_chat *chat, const std::string &answer) {
    for (const int32_t is_partial : {0, 1}) {
        std::vector<Part> read;
        const gpt4all_status status = gpt4all_chat_parse(chat, answer.data(), static_cast<int64_t>(answer.size()),
                                                         is_partial, nullptr, take, &read);
        fuzz::expect_status(status, {GPT4ALL_OK}, "gpt4all_chat_parse");
        fuzz::expect(read.size() == 1 && fuzz::is_valid_utf8(read[0].text), "a reading is one text, of UTF-8");
    }
}

const char *const USUAL_TOOLS =
    R"([{"function":{"name":"f","parameters":{"type":"object"}},"grammar":"root ::= \"{}\"","properties":{}}])";

std::string usual_tools(bool required) {
    return std::string("{\"choice\":\"") + (required ? "required" : "auto") + "\",\"tools\":" + USUAL_TOOLS + "}";
}

void prepare(const gpt4all_model *model, const char *source, const char *messages, const char *arguments,
             const std::string &tools, const std::string &answer) {
    gpt4all_chat *chat = nullptr;
    std::vector<Part> parts;
    const gpt4all_status status =
        gpt4all_chat_prepare(model, source, messages, tools.c_str(), arguments, nullptr, take, &parts, &chat);
    fuzz::expect_status(status, {GPT4ALL_OK, GPT4ALL_ERROR_INVALID_ARGUMENT, GPT4ALL_ERROR_TEMPLATE},
                        "gpt4all_chat_prepare");
    if (chat != nullptr) read_answer(chat, answer);
    gpt4all_chat_free(chat);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, std::size_t size) {
    fuzz::Input input(data, size);
    const gpt4all_model *model = fuzz::model("tiny-llama", 16);
    const uint8_t flags = input.byte();
    const std::string source = input.text(), arguments = input.text();
    const std::string answer = (flags & TOOLS) != 0 ? input.text() : "";
    const std::string own_tools = (flags & OWN_TOOLS) != 0 ? input.text() : "";
    const std::string messages = (flags & RAW_MESSAGES) != 0 ? input.text() : read_messages(input);
    std::vector<Part> parts;
    const double start = processor_seconds();
    const gpt4all_status status =
        gpt4all_chat_render(model, (flags & OWN_TEMPLATE) != 0 ? nullptr : source.c_str(), messages.c_str(),
                            (flags & WITH_ARGUMENTS) != 0 ? arguments.c_str() : nullptr,
                            (flags & GENERATION_PROMPT) != 0, nullptr, take, &parts);
    fuzz::expect_status(status, {GPT4ALL_OK, GPT4ALL_ERROR_INVALID_ARGUMENT, GPT4ALL_ERROR_TEMPLATE},
                        "gpt4all_chat_render");
    fuzz::expect(processor_seconds() - start < MAX_SECONDS, "a template computes more than it may");
    const bool signs_are_messages =
        (flags & RAW_MESSAGES) == 0 && (source + arguments).find(SIGN.substr(0, 3)) == std::string::npos;
    check_parts(model, parts, signs_are_messages);
    if ((flags & TOOLS) != 0) {
        prepare(model, (flags & OWN_TEMPLATE) != 0 ? nullptr : source.c_str(), messages.c_str(),
                (flags & WITH_ARGUMENTS) != 0 ? arguments.c_str() : nullptr,
                (flags & OWN_TOOLS) != 0 ? own_tools : usual_tools((flags & REQUIRED) != 0), answer);
    }
    return 0;
}
