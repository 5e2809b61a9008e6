// Tokens of one or more sequences, as the engine takes them.
#pragma once

#include "llama.h"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace gpt4all {

class TokenBatch {
public:
    void clear() {
        tokens_.clear();
        positions_.clear();
        n_sequences_.clear();
        sequences_.clear();
        outputs_.clear();
    }

    // `output` says whether the engine keeps what it computes for this token.
    void add(llama_token token, llama_pos position, llama_seq_id sequence, bool output) {
        tokens_.push_back(token);
        positions_.push_back(position);
        n_sequences_.push_back(1);
        sequences_.push_back(sequence);
        outputs_.push_back(output ? 1 : 0);
    }

    std::size_t size() const { return tokens_.size(); }

    // Valid until tokens are added.
    llama_batch view() {
        rows_.clear();
        for (llama_seq_id &sequence : sequences_) rows_.push_back(&sequence);
        llama_batch batch = {};
        batch.n_tokens = static_cast<int32_t>(size());
        batch.token = tokens_.data();
        batch.pos = positions_.data();
        batch.n_seq_id = n_sequences_.data();
        batch.seq_id = rows_.data();
        batch.logits = outputs_.data();
        return batch;
    }

private:
    std::vector<llama_token> tokens_;
    std::vector<llama_pos> positions_;
    std::vector<int32_t> n_sequences_; // of each token: one
    std::vector<llama_seq_id> sequences_;
    std::vector<llama_seq_id *> rows_;
    std::vector<int8_t> outputs_;
};

} // namespace gpt4all
