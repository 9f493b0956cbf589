//! What every service does the same way: clock, bus, config, telemetry, health, shutdown, driver.
