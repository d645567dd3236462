"""Costs of a network on the machine at hand: memory, latency, throughput, energy, and its form in int8."""
