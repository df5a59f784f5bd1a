"""Service times of real models: measured, fitted and kept as profiles. Imports only the engine's room."""
