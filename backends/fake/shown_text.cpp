#include "shown_text.h"

#include "generate/text_stream.h"

#include <string>
#include <vector>

struct shown_text {
    explicit shown_text(std::vector<std::string> stops) : stream(std::move(stops)) {}

    gpt4all::TextStream stream;
    std::string taken;
};

shown_text *shown_text_new(const gpt4all_string *stops, int64_t n_stops) {
    std::vector<std::string> texts;
    for (int64_t i = 0; i < n_stops; i++) texts.emplace_back(stops[i].data, static_cast<std::size_t>(stops[i].length));
    return new shown_text(std::move(texts));
}

void shown_text_free(shown_text *text) { delete text; }

bool shown_text_feed(shown_text *text, const char *data, size_t length) { return text->stream.feed({data, length}); }

bool shown_text_finish(shown_text *text) {
    text->stream.finish();
    return text->stream.has_ready();
}

const char *shown_text_take(shown_text *text, int64_t *length) {
    text->taken = text->stream.take();
    *length = static_cast<int64_t>(text->taken.size());
    return text->taken.data();
}
