// heart-rate-ceiling as a function node: at 200 /min for ten seconds; over after thirty seconds below 195; one state an athlete.
const { athlete, time, value } = msg.payload;
const state = context.get(athlete) || { raised: false, since: null };
const holds = state.raised ? value > 195 : value >= 200;
if (holds === state.raised) {
  state.since = null;
} else {
  if (state.since === null) state.since = time;
  if (time - state.since >= (state.raised ? 30 : 10)) {
    state.raised = holds;
    state.since = null;
    msg.alert = holds ? "raised" : "cleared";
  }
}
context.set(athlete, state);
return msg;
