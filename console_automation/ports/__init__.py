"""What the engine needs of the world, as contracts. Adapters keep them; one test suite per port.

Ports speak the core's nouns. Foreign exceptions stop at the adapter: what comes through is of
`console_automation.errors`.
"""
