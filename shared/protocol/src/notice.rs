//! Carrying events to sinks, each at its own pace.
