// Progress bars of one task, as the platform tells. Text is only ever set as text.
const task = document.getElementById("task");
const rows = new Map(
  [...document.querySelectorAll("tr[data-device]")].map((row) => [row.dataset.device, row]),
);
const events = new EventSource(`/ui/tasks/${encodeURIComponent(task.dataset.task)}/progress`);
events.addEventListener("progress", (event) => {
  const news = JSON.parse(event.data);
  if (news.task.finished_at) {
    events.close();
    location.reload();
    return;
  }
  task.querySelector(".state").textContent = news.task.state;
  task.querySelector("progress").value = news.task.fragments;
  task.querySelector(".stages").textContent = Object.entries(news.task.stages)
    .map(([stage, devices]) => `${devices} ${stage}`)
    .join(" ");
  for (const device of news.devices) {
    const row = rows.get(device.device);
    if (!row) continue;
    row.querySelector(".stage").textContent = device.stage;
    row.querySelector(".attempt").textContent = device.attempt;
    row.querySelector(".fragments").textContent = device.fragments;
    row.querySelector("progress").value = device.fragments;
  }
});
