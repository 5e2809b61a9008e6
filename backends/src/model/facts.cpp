#include "model/facts.h"

#include "engine/memory_need.h"
#include "engine/placement.h"

#include <cstdlib>
#include <vector>

namespace gpt4all {
namespace {

std::string metadata(const llama_model *weights, const char *key) {
    const int32_t length = llama_model_meta_val_str(weights, key, nullptr, 0);
    if (length < 0) return "";
    std::vector<char> buffer(static_cast<std::size_t>(length) + 1);
    llama_model_meta_val_str(weights, key, buffer.data(), buffer.size());
    return std::string(buffer.data(), static_cast<std::size_t>(length));
}

std::string describe(const llama_model *weights) {
    char buffer[256] = "";
    llama_model_desc(weights, buffer, sizeof buffer);
    return buffer;
}

int32_t wordpiece_flags(const llama_model *weights) {
    if (llama_vocab_type(llama_model_get_vocab(weights)) != LLAMA_VOCAB_TYPE_WPM) return 0;
    // Where the file says nothing, both are so, as in the engine.
    const bool lowercase = metadata(weights, "tokenizer.ggml.normalizer.lowercase") != "false";
    const std::string strips = metadata(weights, STRIP_ACCENTS_KEY);
    const bool strip_accents = strips.empty() ? lowercase : strips == "true";
    return GPT4ALL_WORDPIECE | (lowercase ? GPT4ALL_WORDPIECE_LOWERCASE : 0) |
           (strip_accents ? GPT4ALL_WORDPIECE_STRIP_ACCENTS : 0);
}

// What the file says, or LLAMA_POOLING_TYPE_UNSPECIFIED, which converters also write out, as a number without sign.
enum llama_pooling_type pooling_of(const llama_model *weights, const std::string &architecture) {
    const std::string text = metadata(weights, (architecture + ".pooling_type").c_str());
    const long long number = std::strtoll(text.c_str(), nullptr, 10);
    if (text.empty() || number > LLAMA_POOLING_TYPE_RANK) return LLAMA_POOLING_TYPE_UNSPECIFIED;
    return static_cast<enum llama_pooling_type>(number);
}

} // namespace

ModelFacts read_facts(const llama_model *weights, const llama_context *context, ggml_type kv_type) {
    ModelFacts facts;
    facts.architecture = metadata(weights, "general.architecture");
    facts.description = describe(weights);
    facts.quantization = llama_ftype_name(llama_model_ftype(weights));
    facts.name = metadata(weights, "general.name");
    facts.basename = metadata(weights, "general.basename");
    const char *chat_template = llama_model_chat_template(weights, nullptr);
    facts.chat_template = chat_template == nullptr ? "" : chat_template;
    facts.wordpiece = wordpiece_flags(weights);

    const bool encoder = llama_model_has_encoder(weights);
    llama_memory_t memory = llama_get_memory(context);
    // An encoder without memory to generate from: the BERT family.
    const bool encoder_only = memory == nullptr;
    const bool decoder = llama_model_has_decoder(weights) && !encoder_only;
    const bool recurrent = llama_model_is_recurrent(weights) || llama_model_is_hybrid(weights);
    const enum llama_pooling_type pooling = pooling_of(weights, facts.architecture);
    const bool stated = pooling != LLAMA_POOLING_TYPE_UNSPECIFIED;
    if (encoder || encoder_only) facts.traits |= GPT4ALL_TRAIT_ENCODER;
    if (decoder) facts.traits |= GPT4ALL_TRAIT_DECODER;
    if (recurrent) facts.traits |= GPT4ALL_TRAIT_RECURRENT;
    if (stated) facts.pooling = pooling;
    // Files from before the key was invented: sentence encoders take the mean.
    if (!stated && encoder_only) facts.pooling = LLAMA_POOLING_TYPE_MEAN;
    if (encoder_only || facts.pooling != LLAMA_POOLING_TYPE_NONE) facts.traits |= GPT4ALL_TRAIT_EMBEDDING;
    if (llama_model_is_diffusion(weights)) facts.traits |= GPT4ALL_TRAIT_DIFFUSION;
    // A recurrent memory says it can shift, but cannot drop tokens from the
    // middle; and a shift rotates keys in place, which ggml cannot do in BF16.
    const bool can_shift = memory != nullptr && llama_memory_can_shift(memory);
    if (can_shift && !recurrent && kv_type != GGML_TYPE_BF16) facts.traits |= GPT4ALL_TRAIT_CAN_SHIFT;
    facts.n_layers_offloaded = layers_on_gpus(weights);
    facts.device = device_index(output_gpu(weights));
    facts.device_bytes = bytes_on_gpus(context);
    return facts;
}

bool pools(const llama_model *weights) {
    return pooling_of(weights, metadata(weights, "general.architecture")) > LLAMA_POOLING_TYPE_NONE;
}

} // namespace gpt4all
