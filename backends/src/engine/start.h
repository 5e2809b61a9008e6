// The engine's beginning: hooks, the processor's module, the devices.
#pragma once

namespace gpt4all {

// Once; more calls cost nothing. Throws where this processor is not one the library is for.
void start_engine();

// Throws unless start_engine() has succeeded.
void require_initialized();

// The CPU module's name and instruction sets, as gpt4all_cpu_info says; "" before start_engine() has succeeded.
const char *cpu_info() noexcept;

} // namespace gpt4all
