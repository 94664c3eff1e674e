"""The server's end of the agents' channel.

Owns: the listener, one session per agent, duplicates, acks, the windows, who is connected and how
complete their data is. In come WebSocket messages of agents; out go decoded frames to a sink (the
store), acks once the sink says that they are durable, and the fleet's own series (`up`,
`vezha_agent_*`). Refuses: agents without a valid identity, anything malformed (typed, counted,
hung up on), more connections a second than its budget, and any work that could make one agent
delay another.
"""
