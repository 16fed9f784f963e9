// What OpenAI's library for JavaScript does by itself: it calls tools, waits for a place, and gives up in time.
// Prints what came back as one line of JSON.
const OpenAI = require("openai");

const [baseURL, what] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: "sk-alice", maxRetries: 0, timeout: 30_000 });
const request = { model: "m", messages: [{ role: "user", content: "How is the weather in Paris?" }] };

async function called(stream) {
  const asked = [];
  const weather = {
    type: "function",
    function: {
      name: "get_weather",
      description: "Tell the weather in a city",
      parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
      parse: JSON.parse,
      function: ({ city }) => {
        asked.push(city);
        return "rain";
      },
    },
  };
  const runner = client.chat.completions.runTools({ ...request, stream, tools: [weather] });
  return { asked, answer: await runner.finalContent() };
}

async function said(options) {
  try {
    const answer = await client.chat.completions.create(request, options);
    return { answer: answer.choices[0].message.content };
  } catch (error) {
    return { error: error.constructor.name, status: error.status ?? null };
  }
}

const cases = {
  tools: () => called(false),
  "tools in a stream": () => called(true),
  "a retry": () => said({ maxRetries: 3 }),
  "no retry": () => said({}),
  "a time-out": () => said({ timeout: 300 }),
};

cases[what]().then((result) => console.log(JSON.stringify(result)));
