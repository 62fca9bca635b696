# One image for every subcommand. The sources run as they are: Node strips the types.
FROM node:24-slim
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev --ignore-scripts && npm cache clean --force
COPY src src
ENTRYPOINT ["node", "src/main.ts"]
CMD ["agent"]
