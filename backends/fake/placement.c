/*
 * Where the fake's layers go, and what they take there.
 *
 * The rules of the real library: n_gpu_layers of the n_layer + 1 (the output
 * counts as one) go to the device, the last ones; with tensor_split they are
 * spread over the GPUs in the devices' order, with main_gpu moved to the end.
 * Weights and context weigh the same in every layer; work buffers lie where
 * layers are computed.
 */
#include "fake.h"

static bool is_gpu(int32_t type) { return type != GPT4ALL_DEVICE_CPU && type != GPT4ALL_DEVICE_OTHER; }

/* Indices of the GPUs; returns how many. */
static int32_t list_gpus(int32_t *gpus) {
    int32_t n = 0;
    for (int32_t i = 0; i < n_devices && n < MOST_DEVICES; i++)
        if (is_gpu(devices[i].type)) gpus[n++] = i;
    return n;
}

static bool uses_gpu(const gpt4all_load_options *options) {
    return options->device >= 0 && is_gpu(devices[options->device].type) && options->n_gpu_layers > 0;
}

const char *split_problem(const gpt4all_load_options *options) {
    int32_t gpus[MOST_DEVICES], n_gpus = list_gpus(gpus);
    float sum = 0;
    for (int64_t i = 0; i < options->n_tensor_split; i++) {
        if (!(options->tensor_split[i] >= 0)) return "tensor_split has a share that is negative or not a number";
        sum += options->tensor_split[i];
    }
    if (options->n_tensor_split == 0 || !uses_gpu(options)) return NULL;
    if (options->n_tensor_split > n_gpus) return "tensor_split has more shares than there are GPUs";
    if (sum <= 0) return "tensor_split has only shares of 0";
    return options->main_gpu < n_gpus ? NULL : "main_gpu names no GPU";
}

/* The devices that get layers, in their order, with the sum of the shares up to each. */
static int32_t list_shares(const gpt4all_load_options *options, int32_t *chosen, float *until) {
    int32_t gpus[MOST_DEVICES] = {0}, n = 0;
    float sum = 0;
    list_gpus(gpus);
    if (options->n_tensor_split == 0) {
        chosen[0] = options->device;
        until[0] = 1;
        return 1;
    }
    for (int pass = 0; pass < 2; pass++)
        for (int32_t gpu = 0; gpu < options->n_tensor_split; gpu++) {
            float share = options->tensor_split[gpu];
            if ((gpu == options->main_gpu) != (pass == 1) || share <= 0) continue;
            chosen[n] = gpus[gpu];
            until[n++] = sum += share;
        }
    for (int32_t i = 0; i < n; i++) until[i] /= sum;
    return n;
}

placement place_layers(const gpt4all_load_options *options, int32_t n_layers) {
    placement placed = {.n_layers = n_layers, .device = -1};
    int32_t chosen[MOST_DEVICES], n_chosen;
    float until[MOST_DEVICES];
    if (!uses_gpu(options)) return placed;
    n_chosen = list_shares(options, chosen, until);
    placed.n_offloaded = options->n_gpu_layers < n_layers ? options->n_gpu_layers : n_layers;
    for (int32_t layer = 0; layer < placed.n_offloaded; layer++) {
        int32_t i = 0;
        while (i + 1 < n_chosen && (float)layer / (float)placed.n_offloaded >= until[i]) i++;
        placed.layers[chosen[i]]++;
        placed.device = chosen[i];
    }
    return placed;
}

/* `part` of `of` equal shares of a number that may be too large to multiply. */
static int64_t share_of(int64_t whole, int32_t part, int32_t of) { return whole / of * part + whole % of * part / of; }

gpt4all_memory_need need_on(const gpt4all_model *model, int32_t device) {
    const placement *placed = &model->placed;
    const gpt4all_device_info *info = &devices[device < 0 ? 0 : device];
    gpt4all_memory_need need = {.device = device};
    need.n_layers = device < 0 ? placed->n_layers - placed->n_offloaded : placed->layers[device];
    need.weights = share_of(model->weights_bytes, need.n_layers, placed->n_layers);
    need.context = share_of(model->context_bytes * model->n_ctx, need.n_layers, placed->n_layers);
    need.compute = need.n_layers > 0 ? model->compute_bytes : 0;
    need.memory_total = info->memory_total;
    need.memory_free = info->memory_free;
    return need;
}
