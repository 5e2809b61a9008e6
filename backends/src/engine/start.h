// The engine's beginning: hooks, the processor's module, the devices.
#pragma once

namespace gpt4all {

// Once; more calls cost nothing. Throws where this processor is not one the library is for.
void start_engine();

// Throws unless start_engine() has succeeded.
void require_initialized();

} // namespace gpt4all
