"""The engine: scenarios as data, the clock, the policies, the statistics. Imports no other room."""
