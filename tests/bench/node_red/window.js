// heat-illness as a function node: at the limit, and the least-squares slope over five minutes is positive; one window an athlete.
const { athlete, time, value } = msg.payload;
const state = context.get(athlete) || { raised: false, window: [] };
const window = state.window;
window.push([time, value]);
while (time - window[0][0] > 300) window.shift();
let sumTime = 0, sumValue = 0;
for (const [t, v] of window) { sumTime += t; sumValue += v; }
const meanTime = sumTime / window.length, meanValue = sumValue / window.length;
let over = 0, under = 0;
for (const [t, v] of window) { over += (t - meanTime) * (v - meanValue); under += (t - meanTime) * (t - meanTime); }
const hot = state.raised ? value > 179.5 : value >= 180;
const holds = hot && (state.raised || (under > 0 && over / under > 0));
if (holds !== state.raised) {
  state.raised = holds;
  msg.alert = holds ? "raised" : "cleared";
}
context.set(athlete, state);
return msg;
