// A place in the model's context: which tokens it holds, and what it held before.
#pragma once

#include "generate/prefix_cache.h"
#include "model/model.h"

#include <cstddef>
#include <optional>
#include <vector>

namespace gpt4all {

class Sequence {
public:
    // Tokens below which computing again is as quick as copying a context.
    static constexpr std::size_t MIN_WORTH_COPYING = 16;

    // One of the model's, by its number; `displaced` keeps what prompts displace in all of them.
    Sequence(Model &model, llama_seq_id id, PrefixCache &displaced);

    llama_seq_id id() const { return id_; }

    // How much of a prompt begin() would find here.
    std::size_t reusable(const std::vector<llama_token> &prompt);

    // Makes the memory hold as much of a prompt as is known, and nothing else; never all of it, for the logits of its
    // last token. How many tokens those are. `keep` says whether this prompt's context is kept once another displaces
    // it.
    std::size_t begin(const std::vector<llama_token> &prompt, bool reuse, bool keep);

    std::size_t size() const { return held_.tokens.size(); }

    // Tokens that the engine has computed after those it held.
    void add(const llama_token *tokens, std::size_t n);

    // How many tokens of a prompt a checkpoint is to be made after; 0 where there is no use in it.
    std::size_t checkpoint_place(const std::vector<llama_token> &prompt) const;

    // Copies what the memory could not be taken back to, if there is room.
    void make_checkpoint();

    // Takes the memory back to where it is known after a batch that failed. What is to be computed again, to be where
    // this was before it.
    std::vector<llama_token> after_interruption();

    // Drops the oldest half of what comes after `keep` tokens. What is to be computed again, from the first token on:
    // nothing where the memory could be shifted.
    std::vector<llama_token> drop_oldest(std::size_t keep);

    void forget();

private:
    const HeldTokens &held();
    std::optional<SavedContext> save(std::size_t beaten);
    void load(const SavedContext &saved);
    bool take_back(std::size_t n);
    bool restore_checkpoint();
    void drop_checkpoint();

    Model &model_;
    const llama_seq_id id_;
    HeldTokens held_;
    std::vector<uint8_t> checkpoint_;
    bool keep_ = false;
    PrefixCache &displaced_;
};

} // namespace gpt4all
