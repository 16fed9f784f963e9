// Calls of OpenAI's library for JavaScript; prints what came back as one line of JSON.
const OpenAI = require("openai");

const client = new OpenAI({ baseURL: process.argv[2], apiKey: "none", maxRetries: 0, timeout: 100_000 });
const messages = [{ role: "user", content: "What is the capital of France?" }];

async function streamed() {
  const pieces = [];
  const stream = await client.chat.completions.create({ model: "smollm2", messages, max_tokens: 20, stream: true });
  for await (const chunk of stream) pieces.push(chunk.choices[0]?.delta?.content ?? "");
  return pieces;
}

const tool = {
  type: "function",
  function: {
    name: "get_weather",
    description: "Tell the weather in a city",
    parameters: { type: "object", properties: { city: { enum: ["Oslo", "Paris", "Rome"] } }, required: ["city"] },
  },
};

async function called() {
  const asked = [{ role: "user", content: "What is the weather in Paris?" }];
  const request = { model: "tools", messages: asked, tools: [tool], tool_choice: "required", max_tokens: 100 };
  const message = await client.chat.completions.stream(request).finalMessage();
  const [call] = message.tool_calls;
  const told = [...asked, message, { role: "tool", tool_call_id: call.id, content: "rain" }];
  const answer = await client.chat.completions.create({ model: "tools", messages: told, max_tokens: 20 });
  return { name: call.function.name, arguments: JSON.parse(call.function.arguments), answer: answer.choices[0].message.content };
}

async function failed(request) {
  try {
    await client.chat.completions.create(request);
    return "nothing";
  } catch (error) {
    return error.constructor.name;
  }
}

async function main() {
  const chat = await client.chat.completions.create({ model: "smollm2", messages, max_tokens: 20 });
  const vectors = await client.embeddings.create({ model: "vectors", input: ["Paris", "London"] });
  const models = [];
  for await (const model of client.models.list()) models.push(model.id);
  console.log(
    JSON.stringify({
      chat: chat.choices[0].message.content,
      stream: await streamed(),
      vectors: vectors.data.map((item) => item.embedding.length),
      models,
      called: await called(),
      unknown: await failed({ model: "nobody", messages }),
      unsupported: await failed({ model: "vectors", messages }),
    }),
  );
}

main();
