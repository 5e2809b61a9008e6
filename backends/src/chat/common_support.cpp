// What common/chat uses of llama.cpp's other common sources, which would bring
// threads and output of their own.
#include "common.h"
#include "log.h"

// Below all levels: nothing is ever added.
int common_log_get_verbosity_thold() { return -1; }
struct common_log *common_log_main() { return nullptr; }
void common_log_add(struct common_log *, enum ggml_log_level, const char *, ...) {}

std::string string_join(const std::vector<std::string> &values, const std::string &separator) {
    std::string joined;
    for (const std::string &value : values) {
        if (&value != &values.front()) joined += separator;
        joined += value;
    }
    return joined;
}

std::vector<std::string> string_split(const std::string &text, const std::string &delimiter) {
    std::vector<std::string> parts;
    std::size_t begin = 0;
    for (std::size_t end = text.find(delimiter); end != std::string::npos; end = text.find(delimiter, begin)) {
        parts.push_back(text.substr(begin, end - begin));
        begin = end + delimiter.size();
    }
    parts.push_back(text.substr(begin));
    return parts;
}

std::string string_repeat(const std::string &text, std::size_t n) {
    std::string repeated;
    for (std::size_t i = 0; i < n; i++) repeated += text;
    return repeated;
}
